import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { repository } from "../machine.ts";
import { findCircles, type Graph } from "./circles.ts";
import { moduleGraphs } from "./rust.ts";
import { fileGraph, importedPackages } from "./typescript.ts";

/** What each package may import of this repository. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "packages/protocol": [],
  "packages/vmm": [],
  "packages/snapshots": ["@firn/vmm", "@firn/protocol"],
  "packages/functions": ["@firn/snapshots", "@firn/protocol"],
  "packages/guest": ["@firn/protocol"],
  "packages/cli": [],
  "apps/invoke-server": ["@firn/functions", "@firn/snapshots", "@firn/protocol"],
};

/** Every circle of modules in a crate or a package: `crates/vmm, memory: copy load`. */
export function circles(): string[] {
  const crates = readdirSync(join(repository, "crates")).filter((name) =>
    existsSync(join(repository, "crates", name, "src")),
  );
  const found = crates.flatMap((name) =>
    [...moduleGraphs(join(repository, "crates", name))].flatMap(([folder, graph]) =>
      describe(folder === "" ? `crates/${name}` : `crates/${name}, ${folder}`, graph),
    ),
  );
  for (const folder of Object.keys(mayImport)) {
    found.push(...describe(folder, fileGraph(join(repository, folder))));
  }
  return found;
}

function describe(where: string, graph: Graph): string[] {
  return findCircles(graph).map((circle) => `${where}: ${circle.join(" ")}`);
}

/** Sentences about arrows that point the wrong way: circles, and packages that import what they may not. */
export function wrongArrows(): string[] {
  const wrong = circles().map((circle) => `Modules use each other in a circle, in ${circle}.`);
  for (const [folder, allowed] of Object.entries(mayImport)) {
    for (const name of importedPackages(join(repository, folder))) {
      if (!allowed.includes(name))
        wrong.push(`${folder} imports ${name}. It may import ${allowed.join(", ") || "none"}.`);
    }
  }
  return wrong;
}
