import { type ArmHost, openArmHost } from "@firn/rig";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, invoke, remove, url } from "./api.ts";
import { untilHealth } from "./arm-server.ts";
import { FOLDER, RIG_NAME } from "./environment.ts";
import { deployHello } from "./examples.ts";

const IMAGES = `${FOLDER}/store/images`;
const blob = (digest: string) => `${IMAGES}/blobs/sha256/${digest.slice("sha256:".length)}`;

let host: ArmHost;
beforeAll(async () => {
  host = await openArmHost({ name: RIG_NAME, keep: true });
});
afterAll(async () => {
  await remove("damaged");
  await host.close();
});

/** Changes the file of one blob of a function's snapshot on the ARM host. */
async function damage(
  name: string,
  layer: "memory" | "state",
  command: (path: string) => string,
): Promise<void> {
  const { json } = await call(`/functions/${name}`);
  const { snapshot } = json as { snapshot: { digest: string } };
  const { stdout } = await host.exec("cat", [blob(snapshot.digest)]);
  const manifest = JSON.parse(stdout) as { layers: { mediaType: string; digest: string }[] };
  const found = manifest.layers.find(({ mediaType }) => mediaType.includes(`.${layer}.`));
  const { status, stderr } = await host.exec("sh", ["-c", command(blob(found?.digest ?? ""))]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.anything() });
}

describe("a function whose snapshot is damaged", () => {
  it.each([
    ["a memory layer that is cut off", "memory", (path: string) => `truncate -s 5000 ${path}`],
    [
      "a memory layer with a changed head",
      "memory",
      (path: string) => `printf XXXXXXXX | dd of=${path} conv=notrunc`,
    ],
    ["a missing memory layer", "memory", (path: string) => `rm ${path}`],
    ["a state that is cut off", "state", (path: string) => `truncate -s 100 ${path}`],
    [
      "a state with a changed byte",
      "state",
      (path: string) => `printf X | dd of=${path} bs=1 seek=64 conv=notrunc`,
    ],
  ] as const)(
    "answers from a regular boot that stays warm, until the snapshot is made anew: %s",
    async (_, layer, command) => {
      await deployHello("damaged");
      await damage("damaged", layer, command);
      const answer = await invoke("damaged", {}, { "x-firn-start": "cold" });
      expect({ status: answer.status, json: answer.json }).toEqual({
        status: 200,
        json: { greeting: "Hello, world!" },
      });
      expect(answer.headers.get("x-firn-recovered-from")).toMatch(/^FIRN_SNAPSHOT_(CORRUPT|MISSING)$/);
      expect(answer.start).toBe("regular");
      const warm = await invoke("damaged");
      expect([warm.status, warm.start]).toEqual([200, "warm"]);
      const cold = async () => (await invoke("damaged", {}, { "x-firn-start": "cold" })).start;
      await expect.poll(cold, { timeout: 240_000, interval: 2000 }).toBe("cold");
    },
  );
});

describe("a server that is killed", () => {
  it("leaves no microVM behind, and starts again with its functions", async () => {
    await deployHello("damaged");
    await invoke("damaged");
    const processes = async () => {
      const { stdout } = await host.exec("sh", ["-c", "pgrep -f [/]e2e/bin/firn-vmm || true"]);
      return stdout.split("\n").filter((pid) => pid !== "");
    };
    const before = await processes();
    expect(before).not.toEqual([]);
    await host.exec("sh", ["-c", `kill -9 $(cat ${FOLDER}/store/pid)`]);
    await untilHealth(url, ({ status }) => status === "ready", 120_000);
    // The new server has processes of its own, which wait for cold starts.
    await expect
      .poll(async () => (await processes()).filter((pid) => before.includes(pid)), { timeout: 20_000 })
      .toEqual([]);
    const answer = await invoke("damaged", {}, { "x-firn-start": "cold" });
    expect([answer.status, answer.start, answer.headers.get("x-firn-recovered-from")]).toEqual([
      200,
      "cold",
      null,
    ]);
  });
});
