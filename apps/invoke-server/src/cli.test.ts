import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { run } from "../../../packages/cli/src/run.ts";
import { serveForTest } from "../test/serve.ts";

it("the firn command passes the checks of control routes", async () => {
  await using server = await serveForTest();
  const folder = await mkdtemp(join(tmpdir(), "firn-cli-"));
  await writeFile(join(folder, "index.mjs"), "export const handler = () => 1;");
  const firn = async (...args: string[]) => {
    const said: string[] = [];
    const write = (text: string | Uint8Array) => void said.push(Buffer.from(text as string).toString());
    const environment = { FIRN_SERVER: server.url };
    const status = await run(args, { environment, write, note: write });
    return { status, text: said.join("") };
  };
  try {
    // No microVM starts here: what is not refused gets as far as that.
    const missing = { status: 1, text: expect.stringMatching(/FIRN_(PLATFORM|KVM|VMM|JAIL)_/) };
    expect(await firn("deploy", folder, "--name", "hello")).toEqual(missing);
    expect(await firn("invoke", "hello", "--data", "{}")).toEqual(missing);
    expect((await firn("list")).text).toContain("hello");
    expect((await firn("health")).text).toContain('"kvm"');
    expect(await firn("delete", "hello")).toEqual({ status: 0, text: "hello is deleted\n" });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
