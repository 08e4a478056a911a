// Everything in setup/ but this file is TypeScript for Node.js 24, which comes from npm. This one runs on Node.js 18 or
// newer, installs the npm packages where they are missing or out of date, and hands over.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [command, ...args] = process.argv.slice(2);
const commands = ["up", "test", "soak", "rig", "check", "images", "bench", "firn"];

if (!commands.includes(command)) {
  console.error(`✗ "${command ?? ""}" is nothing that setup does. Choose one of ${commands.join(", ")}.`);
  process.exit(1);
}

const lock = join(root, "package-lock.json");
const node = join(root, "node_modules", ".bin", "node");
if (!existsSync(node) || !matchesLock()) {
  const started = Date.now();
  installPackages("npm", []);
  // An old Node.js leaves out optional packages that ask for a newer one, native parts of the tools among them. The one that has come
  // with the others adds them, by the npm that has come with it.
  installPackages(node, [join(root, "node_modules", "npm", "bin", "npm-cli.js")]);
  console.error(`✓ npm packages (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

const child = spawn(node, [join(root, "setup", `${command}.ts`), ...args], { stdio: "inherit" });
// The terminal sends its signals to both; one sent to this process alone is passed on. The child decides when it is over.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`✗ ${node} does not start: ${error.message}. Remove node_modules and try again.`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));

// Not `npm ci`: it refuses a lock file that lists packages for other platforms which the registry lacks. This takes the versions of
// the lock file, leaves it as it is, and adds what is missing to what is there.
// No warnings: most are that this Node.js is old, and the one that the packages need is among them.
function installPackages(program, argv) {
  const action = [...argv, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const result = spawnSync(program, action, { cwd: root, stdio: ["ignore", 2, 2] });
  if (result.status === 0) return;
  const why = result.error?.message ?? `status ${result.status}`;
  console.error(`✗ \`${[program, ...action].join(" ")}\` failed: ${why}.`);
  process.exit(1);
}

// npm notes in a lock file of its own what it has put into node_modules. Packages for other platforms are left out.
function matchesLock() {
  try {
    const wanted = JSON.parse(readFileSync(lock, "utf8")).packages;
    const present = JSON.parse(
      readFileSync(join(root, "node_modules", ".package-lock.json"), "utf8"),
    ).packages;
    return Object.entries(wanted).every(([path, entry]) => {
      if (!path.includes("node_modules/")) return true;
      if (entry.link) return existsSync(join(root, path));
      if (present[path] !== undefined) return present[path].version === entry.version;
      return entry.optional === true && !isForThisMachine(entry);
    });
  } catch {
    return false;
  }
}

// Of a package that says for which machines it is.
function isForThisMachine({ os, cpu, libc = ["glibc"] }) {
  return (
    os?.includes(process.platform) === true && cpu?.includes(process.arch) === true && libc.includes("glibc")
  );
}
