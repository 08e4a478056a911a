import { describe, expect, it } from "vitest";
import { nativeDeviceOptions } from "./devices.ts";

describe("nativeDeviceOptions()", () => {
  it("returns nothing for nothing", () => {
    expect(nativeDeviceOptions({})).toEqual({});
    expect(nativeDeviceOptions({ net: {}, limits: {} })).toEqual({ net: {}, limits: {} });
  });

  it("parses the MAC address and completes limits", () => {
    const options = nativeDeviceOptions({
      scratchDiskPath: "scratch",
      net: { socketPath: "passt.socket", mac: "02:00:00:00:0A:ff" },
      limits: { netReceive: { bytes: { perSecond: 5 } }, rng: { operations: { perSecond: 1, burst: 9 } } },
    });
    expect(options).toEqual({
      scratchDiskPath: "scratch",
      net: { socketPath: "passt.socket", mac: Buffer.from([2, 0, 0, 0, 10, 255]) },
      limits: {
        netReceive: { bytes: { perSecond: 5, burst: 5 } },
        rng: { operations: { perSecond: 1, burst: 9 } },
      },
    });
  });

  it.each(["", "02:00:00:00:00", "02:00:00:00:00:0g", "020000000001", "02:00:00:00:00:01:"])(
    "throws FIRN_VMM_OPTIONS when the MAC address is %j",
    (mac) => {
      expect(() => nativeDeviceOptions({ net: { mac } })).toThrow(
        expect.objectContaining({ code: "FIRN_VMM_OPTIONS" }),
      );
    },
  );

  it.each([0, -1, 1.5, Number.NaN, 2 ** 60])("throws FIRN_VMM_OPTIONS when a limit is %d", (perSecond) => {
    const limits = { rootDisk: { operations: { perSecond } } };
    expect(() => nativeDeviceOptions({ limits })).toThrow(
      expect.objectContaining({
        code: "FIRN_VMM_OPTIONS",
        message: expect.stringContaining("rootDisk.operations"),
      }),
    );
  });
});
