// Generates gen/protocol.js and gen/protocol.d.ts from proto/*.proto. Does nothing when they are newer than their sources.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const sources = readdirSync(`${packageFolder}proto`)
  .filter((name) => name.endsWith(".proto"))
  .sort()
  .map((name) => `${packageFolder}proto/${name}`);
const outputs = ["protocol.js", "protocol.d.ts"].map((name) => `${packageFolder}gen/${name}`);

const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newestSource = Math.max(...[...sources, fileURLToPath(import.meta.url)].map(modified));
if (!outputs.every((path) => modified(path) > newestSource)) {
  mkdirSync(`${packageFolder}gen`, { recursive: true });
  const pbjs = createRequire(import.meta.url).resolve("protobufjs-cli/bin/pbjs");
  // A root of our own (-r): protobufjs' default root is shared with every other user of it in the process.
  const options = ["-t", "static-module", "-w", "esm", "-r", "firn.protocol.v2", "--force-number"];
  const left = ["verify", "convert", "delimited", "typeurl", "service"].map((feature) => `--no-${feature}`);
  execFileSync(
    process.execPath,
    [
      pbjs,
      ...options,
      ...left,
      "--dependency",
      "protobufjs/minimal.js",
      "--dts",
      "-o",
      outputs[0],
      ...sources,
    ],
    { cwd: packageFolder, stdio: "inherit" },
  );
}
