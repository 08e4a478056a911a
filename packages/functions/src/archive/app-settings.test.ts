import { describe, expect, it } from "vitest";
import { readAppSettings } from "./app-settings.ts";

describe("readAppSettings()", () => {
  it.each([undefined, null, "text", {}, { firn: {} }, { firn: null }])(
    "finds the defaults in %j",
    (packageJson) => {
      expect(readAppSettings(packageJson)).toEqual({
        samples: [],
        snapshotEnvironment: false,
        warm: null,
        server: null,
      });
    },
  );

  it("reads what is said", () => {
    const firn = { samples: [{ event: 1 }], snapshotEnvironment: true, warm: false };
    const server = { command: ["./server", "-q"], port: 3000 };
    expect(readAppSettings({ firn: { ...firn, ...server } })).toEqual({ ...firn, server });
    expect(readAppSettings({ firn: { command: ["node", "x.js"] } }).server?.port).toBe(8080);
  });

  it.each([
    ["firn in", []],
    ["firn in", "text"],
    ["firn.snapshotEnvironment in", { snapshotEnvironment: "yes" }],
    ["firn.warm in", { warm: "no" }],
    ["firn.sample in", { sample: [] }],
    ["firn.__proto__ in", JSON.parse('{"__proto__":1}')],
    ["firn.command is", { command: "./server" }],
    ["firn.command is", { command: [] }],
    ["firn.command is", { port: 80 }],
    ["firn.port is", { command: ["a"], port: 65_536 }],
    ["firn.samples in", { samples: "none" }],
  ])("names %s what is wrong", (where, firn) => {
    expect(() => readAppSettings({ firn })).toThrow(
      expect.objectContaining({ code: "FIRN_APP_INVALID", message: expect.stringContaining(where) }),
    );
  });
});
