import { afterAll, beforeAll, describe, expect, it } from "vitest";
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

// One process for all of them, which loads one after the other.
let runtime: RuntimeProcess;
beforeAll(async () => {
  runtime = await RuntimeProcess.start(FILES);
});
afterAll(() => runtime[Symbol.asyncDispose]());

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
    runtime.loadFunction({ entry, handler });
    await runtime.next("functionReady");
    expect(await runtime.call()).toBe(expected);
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
    runtime.loadFunction({ entry, handler });
    expect((await runtime.next("functionFailed")).message).toContain(expected);
  });
});
