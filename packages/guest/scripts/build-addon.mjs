// Compiles addon/reseed.c into dist/addon/linux-<arch>/reseed.node, for arm64 (guests) and for this machine (tests). `CC_ARM64` names
// another cross compiler. Does nothing for what is newer than its source.
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const { include_dir: headers } = createRequire(import.meta.url)("node-api-headers");
const source = `${packageFolder}addon/reseed.c`;

const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function compile(arch, compiler) {
  const folder = `${packageFolder}dist/addon/linux-${arch}`;
  const output = `${folder}/reseed.node`;
  if (modified(output) > Math.max(modified(source), modified(fileURLToPath(import.meta.url)))) return;
  mkdirSync(folder, { recursive: true });
  const options = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-shared",
    "-s",
    "-DNAPI_VERSION=8",
  ];
  execFileSync(compiler, [...options, `-I${headers}`, "-o", output, source], { stdio: "inherit" });
}

compile("arm64", process.env.CC_ARM64 ?? (process.arch === "arm64" ? "cc" : "aarch64-linux-gnu-gcc"));
if (process.arch !== "arm64") compile(process.arch, process.env.CC ?? "cc");
