import { describe, expect, it } from "vitest";
import { RuntimeProcess } from "./runtime-process.ts";

const FILES = {
  "index.mjs": `
    class Service { constructor() { this.n = 42 } async answer() { return this.n } }
    export const api = { users: { list: async () => "nested", service: new Service() }, "a.b": async () => "with a dot" };
    export const web = { fetch: async () => new Response('"web"') };
    export const flat = async () => "flat";`,
  "common.cjs": `
    exports.api = { users: { list: async () => "common" } };
    exports.handler = async () => "handler";`,
  "compiled.cjs": `
    Object.defineProperty(exports, "__esModule", { value: true });
    exports.default = async () => "compiled";`,
};

async function load(entry: string, handler: string): Promise<unknown> {
  await using runtime = await RuntimeProcess.start(FILES);
  runtime.loadFunction({ entry, handler });
  try {
    await runtime.next("functionReady");
  } catch (error) {
    return String(error);
  }
  return await runtime.call();
}

describe("a handler is found", () => {
  it.each([
    ["index.mjs", "flat", "flat"],
    ["index.mjs", "api.users.list", "nested"],
    ["index.mjs", "api.users.service.answer", 42],
    ["index.mjs", "web", "web"],
    ["common.cjs", "api.users.list", "common"],
    ["common.cjs", "", "handler"],
    ["compiled.cjs", "", "compiled"],
  ])("in %s by the name %j", async (entry, handler, expected) => {
    expect(await load(entry, handler)).toBe(expected);
  });
});

describe("a handler that is not there", () => {
  it.each([
    ["index.mjs", "flta", "It exports: api, flat, web."],
    ["index.mjs", "api.users.lst", "Its export api.users has: list, service."],
    ["index.mjs", "api.user.list", "Its export api has: users, a.b."],
    ["index.mjs", "toString", "It exports: api, flat, web."],
    ["index.mjs", "flat.call", "It exports: api, flat, web."],
    ["common.cjs", "constructor", "It exports: api, default, handler."],
    ["common.cjs", "hasOwnProperty", "no function"],
  ])("in %s is an error that says what is: %j", async (entry, handler, expected) => {
    expect(await load(entry, handler)).toContain(expected);
  });
});
