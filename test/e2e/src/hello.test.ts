import { beforeAll, describe, expect, it } from "vitest";
import { type Answer, invoke } from "./api.ts";
import { deployHello, type RandomAnswer } from "./examples.ts";

/** How far the clocks of this machine and the ARM host, and one request's way, may be apart. */
const CLOCK_TOLERANCE_MS = 5_000;
/** More by `npm run soak`. */
const RESTORES = process.env.FIRN_SOAK === "1" ? 500 : 20;

let deployed: Answer;
beforeAll(async () => {
  deployed = await deployHello();
  expect(deployed.json).toMatchObject({ name: "hello", state: "Active" });
});

describe("hello", () => {
  it("has a diff of at most 15 % of guest memory", () => {
    const { snapshot } = deployed.json as { snapshot: { layerBytes: number; memoryBytes: number } };
    expect(snapshot.layerBytes / snapshot.memoryBytes).toBeLessThanOrEqual(0.15);
    expect(snapshot.layerBytes).toBeGreaterThan(0);
  });

  it("answers in every start mode, and says which it was", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      const answer = await invoke(
        "hello",
        { name: start },
        { "x-firn-start": start, "x-firn-statistics": "1" },
      );
      expect(answer).toMatchObject({ status: 200, start, json: { greeting: `Hello, ${start}!` } });
      const statistics = JSON.parse(answer.headers.get("x-firn-statistics") ?? "null");
      expect(statistics.kvmExits).toBeGreaterThan(0);
      expect(statistics.privateBytes).toBeGreaterThan(0);
      expect(answer.phases.total).toBeGreaterThan(0);
    }
  });

  it("has imported its module once, before the snapshot", async () => {
    const [first, second] = [await cold(), await cold()];
    expect(first.importedAt).toBe(second.importedAt);
    expect([first.invocations, second.invocations]).toEqual([1, 1]);
    expect((await shown({ "x-firn-start": "warm" })).invocations).toBe(2);
  });

  it("gives clones different random numbers, and the right time", async () => {
    const clones: RandomAnswer[] = [];
    for (let clone = 0; clone < 4; clone += 1) {
      const before = Date.now();
      const answer = await cold();
      const date = Date.parse(answer.date);
      expect(date).toBeGreaterThan(before - CLOCK_TOLERANCE_MS);
      expect(date).toBeLessThan(Date.now() + CLOCK_TOLERANCE_MS);
      clones.push(answer, await shown({ "x-firn-start": "warm" }));
    }
    for (const value of ["uuid", "randomBytes", "mathRandom"] as const) {
      expect(new Set(clones.map((clone) => clone[value])).size).toBe(clones.length);
    }
  });

  it("gives clones that start at the same moment different random numbers", async () => {
    const clones = await Promise.all([cold(), cold(), cold()]);
    for (const value of ["uuid", "randomBytes", "mathRandom"] as const) {
      expect(new Set(clones.map((clone) => clone[value])).size).toBe(clones.length);
    }
  });

  it(`answers ${RESTORES} restores in a row, each in a process of its own`, async () => {
    const uuids = new Set<string>();
    for (let restore = 0; restore < RESTORES; restore += 1) {
      const answer = await cold();
      expect(answer.invocations).toBe(1);
      uuids.add(answer.uuid);
    }
    expect(uuids.size).toBe(RESTORES);
  });

  it("keeps its snapshot when the same is deployed again", async () => {
    const again = await deployHello();
    expect(again).toMatchObject({ status: 200, json: { version: 1 } });
    expect((again.json as Deployed).snapshot.digest).toBe((deployed.json as Deployed).snapshot.digest);
  });
});

interface Deployed {
  readonly snapshot: { readonly digest: string };
}

function cold(): Promise<RandomAnswer> {
  return shown({ "x-firn-start": "cold" });
}

async function shown(headers: Record<string, string>): Promise<RandomAnswer> {
  const { status, json } = await invoke("hello", { show: "random" }, headers);
  expect({ status, json }).toMatchObject({ status: 200, json: { greeting: "Hello, world!" } });
  return json as RandomAnswer;
}
