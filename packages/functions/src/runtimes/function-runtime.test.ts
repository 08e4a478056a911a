import { describe, expect, it } from "vitest";
import { FunctionRuntimes } from "./function-runtime.ts";

const node24 = { name: "node24", lambdaRuntimes: ["nodejs24.x"], command: ["/usr/bin/node"] };
const python = {
  name: "python3.11",
  lambdaRuntimes: ["python3.11"],
  entryPoints: { default: "lambda_function", extensions: [".py"] },
};
const runtimes = new FunctionRuntimes([node24, python]);

describe("FunctionRuntimes", () => {
  it("finds a runtime by its name and by Lambda's, and the first one for none", () => {
    for (const name of ["node24", "nodejs24.x", undefined]) expect(runtimes.get(name).name).toBe("node24");
    expect(runtimes.get("python3.11").entryPoints).toEqual({
      default: "lambda_function",
      extensions: [".py"],
      packageFile: null,
    });
    expect(runtimes.list().map(({ name }) => name)).toEqual(["node24", "python3.11"]);
  });

  it("refuses one that is not there, and names those that are", () => {
    for (const name of ["ruby3.3", "toString", "__proto__", ""]) {
      expect(() => runtimes.get(name)).toThrow(
        expect.objectContaining({
          code: "FIRN_RUNTIME_UNKNOWN",
          message: expect.stringMatching(/node24 or nodejs24\.x, python3\.11/),
        }),
      );
    }
    expect(() => new FunctionRuntimes([]).get(undefined)).toThrow(
      expect.objectContaining({ code: "FIRN_RUNTIME_UNKNOWN" }),
    );
  });

  it("refuses one that is not to be had with what to do in its place", () => {
    const provided = { name: "provided", refusedRuntimes: { "go1.x": "Build a bootstrap." } };
    expect(() => new FunctionRuntimes([node24, provided]).get("go1.x")).toThrow(
      "There is no runtime go1.x here. Build a bootstrap.",
    );
  });

  it("says what is wrong with a manifest", () => {
    expect(() => new FunctionRuntimes([{ name: "a", entryPoints: { default: 1 } }])).toThrow(
      expect.objectContaining({
        code: "FIRN_RUNTIME_INVALID",
        message: expect.stringContaining("entryPoints.default"),
      }),
    );
  });
});
