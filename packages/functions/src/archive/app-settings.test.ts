import { describe, expect, it } from "vitest";
import { readAppSettings } from "./app-settings.ts";

describe("readAppSettings()", () => {
  it.each([undefined, null, "text", {}, { firn: {} }, { firn: null }])(
    "finds the defaults in %j",
    (packageJson) => {
      expect(readAppSettings(packageJson)).toEqual({ samples: [], snapshotEnvironment: false, warm: null });
    },
  );

  it("reads what is said", () => {
    const firn = { samples: [{ event: 1 }], snapshotEnvironment: true, warm: false };
    expect(readAppSettings({ firn })).toEqual(firn);
  });

  it.each([
    ["firn in", []],
    ["firn in", "text"],
    ["firn.snapshotEnvironment in", { snapshotEnvironment: "yes" }],
    ["firn.warm in", { warm: "no" }],
    ["firn.sample in", { sample: [] }],
    ["firn.__proto__ in", JSON.parse('{"__proto__":1}')],
    ["firn.samples in", { samples: "none" }],
  ])("names %s what is wrong", (where, firn) => {
    expect(() => readAppSettings({ firn })).toThrow(
      expect.objectContaining({ code: "FIRN_APP_INVALID", message: expect.stringContaining(where) }),
    );
  });
});
