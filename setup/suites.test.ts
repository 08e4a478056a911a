import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repository } from "./machine.ts";
import { gicTests, hostTests, soakSuites, testSuites } from "./suites.ts";

describe("suites", () => {
  it("name tests that there are", () => {
    const there = readdirSync(join(repository, "crates", "vmm", "tests"));
    for (const name of [...gicTests, ...hostTests]) expect(there).toContain(`${name}.rs`);
  });

  it("leave hosts that need a kernel of their own to the soak", () => {
    expect(Object.keys(testSuites)).not.toContain("arm-16k");
    expect(Object.keys(soakSuites)).toContain("arm-16k");
    expect(Object.keys(soakSuites)).toContain("arm-max");
  });
});
