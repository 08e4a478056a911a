import { describe, expect, it } from "vitest";
import { joinHandler, splitHandler } from "./handler-name.ts";

describe("handler names", () => {
  it.each([
    ["index.handler", "index", "handler"],
    ["src/app.api.list", "src/app", "api.list"],
    ["package.module.fn", "package", "module.fn"],
    ["./dist/a.b", "./dist/a", "b"],
  ])("%s is split at its first dot, and joined again", (name, entry, handler) => {
    expect(splitHandler(name)).toEqual({ entry, handler });
    expect(joinHandler({ wantedEntry: entry, entry: `${entry}.js`, handler }, "x.y")).toBe(name);
  });

  it("are those of the runtime where a function names no module", () => {
    const record = { wantedEntry: null, entry: "" };
    expect(joinHandler({ ...record, handler: "default" }, "lambda_function.lambda_handler")).toBe(
      "lambda_function.lambda_handler",
    );
    expect(joinHandler({ ...record, handler: "main.app" }, "lambda_function.lambda_handler")).toBe(
      "main.app",
    );
  });
});
