import { describe, expect, it } from "vitest";
import { parseSimulation } from "./debian.ts";

describe("parseSimulation()", () => {
  it("reads name, version and architecture, sorted by name", () => {
    const output = [
      "Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [arm64]) []",
      "Inst gcc-12-base (12.2.0-14 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [arm64])",
      "Inst libtirpc-common (1.3.3+ds-1 Debian:12.15/oldstable [all])",
      "Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [arm64])",
    ].join("\n");
    expect(parseSimulation(output)).toEqual([
      { name: "gcc-12-base", version: "12.2.0-14", architecture: "arm64" },
      { name: "libc6", version: "2.36-9+deb12u14", architecture: "arm64" },
      { name: "libtirpc-common", version: "1.3.3+ds-1", architecture: "all" },
    ]);
  });
});
