import { describe, expect, it } from "vitest";
import { ignoredOptions } from "./options.ts";

describe("ignoredOptions()", () => {
  const config = "CONFIG_SMP=y\nCONFIG_NR_CPUS=8\n# CONFIG_SWAP is not set\n";

  it("is empty when every option took effect", () => {
    expect(ignoredOptions("# text\nCONFIG_SMP=y\nCONFIG_NR_CPUS=8\nCONFIG_SWAP=n\n", config)).toEqual([]);
  });

  it("names options that are absent, differ, or are on although they should be off", () => {
    expect(ignoredOptions("CONFIG_NET=y\nCONFIG_NR_CPUS=4\nCONFIG_SMP=n\n", config)).toEqual([
      "CONFIG_NET=y",
      "CONFIG_NR_CPUS=4",
      "CONFIG_SMP=n",
    ]);
  });
});
