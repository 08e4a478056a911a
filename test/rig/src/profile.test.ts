import { describe, expect, it } from "vitest";
import { profileDifference, rigProfile } from "./profile.ts";

describe("rigProfile()", () => {
  it("takes the name for what nobody says", () => {
    expect(rigProfile("default")).toEqual({ gic: 3, cpu: "cortex-a76", pageKiB: 4 });
    expect(rigProfile("gic2")).toMatchObject({ gic: 2 });
    expect(rigProfile("max")).toMatchObject({ cpu: "max" });
    expect(rigProfile("16k")).toMatchObject({ pageKiB: 16 });
    expect(rigProfile("gic2", { gic: 3, cpu: "max" })).toEqual({ gic: 3, cpu: "max", pageKiB: 4 });
  });
});

describe("profileDifference()", () => {
  it("names what a running rig is instead", () => {
    const running = rigProfile("default");
    expect(profileDifference(running, {})).toBeUndefined();
    expect(profileDifference(running, rigProfile("default"))).toBeUndefined();
    expect(profileDifference(running, { gic: 2 })).toBe("GICv3");
    expect(profileDifference(running, { cpu: "max" })).toBe("the CPU cortex-a76");
    expect(profileDifference(running, { pageKiB: 16 })).toBe("pages of 4 KiB");
  });
});
