import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { connect, type Graph } from "./circles.ts";

/** The sources of a package, without tests. */
function sourcesOf(folder: string): string[] {
  const source = join(folder, "src");
  if (!existsSync(source)) return [];
  return readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name))
    .map((name) => join(source, name));
}

/** What a file imports, types included. */
function importsOf(file: string): string[] {
  return ts.preProcessFile(readFileSync(file, "utf8")).importedFiles.map(({ fileName }) => fileName);
}

/** Which files of a package import which, by their paths in it. */
export function fileGraph(folder: string): Graph {
  const graph = new Map<string, Set<string>>();
  for (const file of sourcesOf(folder)) {
    const name = relative(folder, file);
    graph.set(name, graph.get(name) ?? new Set());
    for (const imported of importsOf(file)) {
      if (imported.startsWith(".")) connect(graph, name, relative(folder, join(dirname(file), imported)));
    }
  }
  return graph;
}

/** Which packages of this repository the sources of a package import. */
export function importedPackages(folder: string): Set<string> {
  const names = new Set<string>();
  for (const file of sourcesOf(folder)) {
    for (const imported of importsOf(file)) {
      if (imported.startsWith("@firn/")) names.add(imported.split("/").slice(0, 2).join("/"));
      if (imported.startsWith(".") && relative(folder, join(dirname(file), imported)).startsWith("..")) {
        names.add(`${imported} (a path out of the package)`);
      }
    }
  }
  return names;
}
