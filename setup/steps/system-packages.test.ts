import { describe, expect, it } from "vitest";
import { missingPackages } from "./system-packages.ts";

describe("missingPackages()", () => {
  it("takes any architecture for a plain name, and only the named one for a qualified name", () => {
    const installed = new Set(["make:amd64", "libstd-rust-web-dev:amd64"]);
    expect(
      missingPackages(["make", "bc", "libstd-rust-web-dev", "libstd-rust-web-dev:arm64"], installed),
    ).toEqual(["bc", "libstd-rust-web-dev:arm64"]);
  });
});
