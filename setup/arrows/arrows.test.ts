import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { wrongArrows } from "./arrows.ts";
import { findCircles } from "./circles.ts";
import { moduleGraphs } from "./rust.ts";
import { fileGraph, importedPackages } from "./typescript.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-arrows-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, "src", name)), { recursive: true });
    await writeFile(join(folder, "src", name), text);
  }
}

it("this repository's arrows point one way", () => {
  expect(wrongArrows()).toEqual([]);
});

describe("findCircles()", () => {
  it("names each circle once, however long", () => {
    const graph = new Map(
      Object.entries({ a: ["b"], b: ["c"], c: ["a", "d"], d: [], e: ["f"], f: ["e"] }).map(([name, used]) => [
        name,
        new Set(used),
      ]),
    );
    expect(findCircles(graph)).toEqual([
      ["a", "b", "c"],
      ["e", "f"],
    ]);
  });
});

describe("moduleGraphs()", () => {
  const circlesOf = () =>
    [...moduleGraphs(folder)].flatMap(([place, graph]) =>
      findCircles(graph).map((circle) => [place, ...circle]),
    );

  it("follows nested use, paths in code, super and re-exports to where things are defined", async () => {
    await write({
      "lib.rs": "pub mod a; pub mod b; pub mod c;",
      "a.rs": "use crate::{b::{X, self}, other as o};",
      "b/mod.rs": "mod x;\npub use x::X;",
      "b/x.rs": "fn f() { super::super::c::g() }",
      "c.rs": "fn g() { crate::a::h() }",
    });
    expect(circlesOf()).toEqual([["", "a", "b", "c"]]);
  });

  it("finds circles inside a folder, and none between a module and those that declare it", async () => {
    await write({
      "lib.rs": "mod m;",
      "m/mod.rs": "mod p; mod q; pub use p::P; struct M;",
      "m/p.rs": "use super::{M, q::Q};",
      "m/q.rs": "use super::P;",
    });
    expect(circlesOf()).toEqual([["m", "p", "q"]]);
  });

  it("does not look at tests and comments", async () => {
    await write({
      "lib.rs": "mod a; mod b;",
      "a.rs": "use crate::b::B;",
      "b.rs": "/// [`crate::a::A`]\nstruct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
      "b_tests.rs": "use crate::a::A;",
      "b/tests/mod.rs": "use crate::a::A;",
      "b/tests/more.rs": "use crate::a::A;",
    });
    expect(circlesOf()).toEqual([]);
  });
});

describe("fileGraph() and importedPackages()", () => {
  it("see types too, and paths that lead out of the package", async () => {
    await write({
      "a.ts": 'import type { B } from "./b.ts";\nimport "@firn/vmm";',
      "b.ts": 'export { A } from "./a.ts";\nconst later = import("../../other/src/x.ts");',
      "c.test.ts": 'import "@firn/cli";',
    });
    expect(findCircles(fileGraph(folder))).toEqual([["src/a.ts", "src/b.ts"]]);
    expect([...importedPackages(folder)]).toEqual([
      "@firn/vmm",
      "../../other/src/x.ts (a path out of the package)",
    ]);
  });
});
