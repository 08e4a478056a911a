import { describe, expect, it } from "vitest";
import { parseUpOptions } from "./options.ts";

describe("parseUpOptions()", () => {
  it("serves on port 8080 with GICv3 when nothing is said", () => {
    expect(parseUpOptions([])).toEqual({ once: false, port: 8080, gic: 3 });
  });

  it("throws RIG_BAD_ARGUMENT with the usage for what it does not know", () => {
    expect(() => parseUpOptions(["--twice"])).toThrow(/Usage/);
    expect(() => parseUpOptions(["--port", "0"])).toThrow(/no port/);
    expect(() => parseUpOptions(["--gic", "4"])).toThrow(/no GICv4/);
  });
});
