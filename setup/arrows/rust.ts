import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type Graph } from "./circles.ts";

/** A module: its path in the crate, and its text without tests. */
interface Module {
  readonly path: readonly string[];
  readonly text: string;
}

/**
 * Which modules of a crate use which, one graph a folder: a module may use those above it, for these declare it, but two beside each
 * other may not use each other, nor what is in the other. What a module takes from another by way of a third that re-exports it is
 * an arrow to where it is defined.
 */
export function moduleGraphs(crate: string): Map<string, Graph> {
  const modules = readModules(join(crate, "src"));
  const graphs = new Map<string, Map<string, Set<string>>>();
  for (const module of modules.values()) {
    for (const path of pathsIn(module)) {
      const target = resolve(path, modules);
      const [folder, from, to] = part(module.path, target);
      if (from === undefined || to === undefined) continue;
      const graph = graphs.get(folder) ?? new Map();
      graphs.set(folder, graph);
      connect(graph, from, to);
    }
  }
  return graphs;
}

// Where two paths part: the folder that they have in common, and what each is there.
function part(a: readonly string[], b: readonly string[]): [string, string | undefined, string | undefined] {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same += 1;
  return [a.slice(0, same).join("::"), a[same], b[same]];
}

function readModules(source: string): Map<string, Module> {
  const modules = new Map<string, Module>();
  for (const name of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".rs") || /(^|[/_])tests?(\.rs$|\/)/.test(name) || name === "main.rs") continue;
    const path = name.replace(/\.rs$/, "").split("/");
    if (path.at(-1) === "mod" || name === "lib.rs") path.pop();
    const text = readFileSync(join(source, name), "utf8")
      .replace(/\/\/.*$/gm, "")
      .replace(/#\[cfg\(test\)\]\s*(pub(\(\w+\))? )?mod \w+ \{[\s\S]*$/, "")
      .replace(/#\[cfg\((all\()?test[^\]]*\]\s*(#\[[^\]]*\]\s*)*(pub(\(\w+\))? )?(use|mod) [^;]*;/g, "");
    modules.set(path.join("::"), { path, text });
  }
  return modules;
}

/** Absolute paths of what a module names: `crate::…`, `super::…`, `self::…`, in `use` and elsewhere. */
function pathsIn({ path, text }: Module): string[][] {
  const found: string[][] = [];
  for (const [, head = "", tree = ""] of text.matchAll(
    /\b(crate|super|self)((?:::(?:\w+|\{[^;]*?\}(?=;)))+)/g,
  )) {
    for (const rest of expand(tree.slice(2))) found.push(absolute(path, [head, ...rest]));
  }
  return found;
}

function absolute(module: readonly string[], path: readonly string[]): string[] {
  const [head, ...rest] = path;
  if (head === "crate") return rest;
  if (head === "self") return absolute(module, ["crate", ...module, ...rest]);
  const above = module.slice(0, -1);
  return rest[0] === "super" ? absolute(above, rest) : [...above, ...rest];
}

// `a::{b, c::{d, e}}` as a::b, a::c::d, a::c::e.
function expand(tree: string): string[][] {
  const open = tree.indexOf("{");
  if (open < 0) {
    const [name = ""] = tree.trim().split(/\s+as\s+/);
    return [name.split("::").filter((segment) => segment !== "*" && segment !== "" && segment !== "self")];
  }
  const prefix = tree
    .slice(0, open)
    .split("::")
    .map((segment) => segment.trim())
    .filter(Boolean);
  const parts: string[] = [];
  let [depth, start] = [0, open + 1];
  for (let at = open; at < tree.length; at += 1) {
    if (tree[at] === "{") depth += 1;
    if (tree[at] === "}") depth -= 1;
    if ((tree[at] === "," && depth === 1) || depth === 0) {
      parts.push(tree.slice(start, at));
      start = at + 1;
      if (depth === 0) break;
    }
  }
  return parts
    .filter((each) => each.trim() !== "")
    .flatMap((each) => expand(each.trim()).map((rest) => [...prefix, ...rest]));
}

/** The module in which a path ends, through `pub use` of the modules that it names. */
function resolve(path: readonly string[], modules: ReadonlyMap<string, Module>, depth = 0): string[] {
  let length = path.length;
  while (length > 0 && !modules.has(path.slice(0, length).join("::"))) length -= 1;
  const module = modules.get(path.slice(0, length).join("::"));
  const item = path[length];
  if (module === undefined || item === undefined || depth > 8) return [...path.slice(0, length)];
  for (const [, tree = ""] of module.text.matchAll(/\bpub(?:\([\w: ]+\))? use ([^;]+);/g)) {
    for (const exported of expand(tree)) {
      if (exported.at(-1) !== item) continue;
      const [head = ""] = exported;
      const start = ["crate", "self", "super"].includes(head) ? exported : ["self", ...exported];
      return resolve(absolute(module.path, start), modules, depth + 1);
    }
  }
  return [...path.slice(0, length)];
}
