import { join } from "node:path";
import { run } from "../../setup/command.ts";
import { pythonProgram } from "../../setup/python.ts";
import type { LastStep } from "./definition.ts";

// What Python may take for changed it would compile again, in every clone: so it compares neither times nor contents.
const script = `
import compileall, sys
from py_compile import PycInvalidationMode
root, *folders = sys.argv[1:]
for folder in folders:
    mode = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(f"{root}/{folder}", quiet=1, force=True, stripdir=root, prependdir="/", invalidation_mode=mode):
        sys.exit(f"{folder} cannot be compiled")
`;

/**
 * Puts byte code beside the modules in folders of an image.
 *
 * @param folders Below the image's root, without a slash at the beginning.
 */
export function compilePython(folders: readonly string[]): LastStep {
  return {
    key: JSON.stringify([script, folders]),
    async run(root) {
      // Sets are written in the order of their hashes.
      const env = { PYTHONHASHSEED: "0" };
      await run(pythonProgram, ["-s", "-S", "-c", script, join(root), ...folders], { env });
    },
  };
}
