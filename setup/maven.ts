import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { artefact } from "./cache.ts";
import { run } from "./command.ts";
import { SetupError } from "./errors.ts";

/** A jar of Maven Central. */
export interface MavenArtifact {
  readonly group: string;
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

const deadlineMs = 10 * 60_000;

/**
 * Fetches a jar, without those that it depends on, and returns its path.
 *
 * @throws {SetupError} PACKAGE_CHANGED if it is another one than was pinned.
 */
export async function fetchFromMaven({ group, name, version, sha256 }: MavenArtifact): Promise<string> {
  const file = `${name}-${version}.jar`;
  const { directory } = await artefact({
    kind: `maven-${name}`,
    inputs: { sha256, file },
    async build(into) {
      const options = [`-Dartifact=${group}:${name}:${version}`, `-DoutputDirectory=${into}`];
      await run("mvn", ["-q", "-B", "dependency:copy", ...options], { cwd: into, timeoutMs: deadlineMs });
      const found = createHash("sha256")
        .update(await readFile(join(into, file)))
        .digest("hex");
      if (found !== sha256) {
        const message = `${group}:${name}:${version} has the SHA-256 digest ${found}, and not ${sha256}. Do not use it before you know why.`;
        throw new SetupError("PACKAGE_CHANGED", message);
      }
    },
  });
  return join(directory, file);
}
