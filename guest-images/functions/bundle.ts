import { writeFileSync } from "node:fs";
import type { Plugin } from "rolldown";

/** Writes the `package.json` of a function that was bundled into `dist/`, with the samples that a deploy warms it up with. */
export function functionPackage(samples: readonly object[]): Plugin {
  return {
    name: "function-package",
    writeBundle: () =>
      writeFileSync("dist/package.json", `${JSON.stringify({ type: "module", firn: { samples } })}\n`),
  };
}
