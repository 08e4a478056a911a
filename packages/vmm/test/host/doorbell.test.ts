import { afterAll, expect, it } from "vitest";
import { restoreMicrovm } from "../../src/index.ts";
import { StandIn } from "./stand-in.ts";

const standIn = new StandIn();
afterAll(() => standIn.remove());

const restore = () => {
  const layers = [{ path: standIn.path, digest: `sha256:${"aa".repeat(32)}` }];
  return restoreMicrovm({ layers, statePath: standIn.path, rootDiskPath: standIn.path });
};

it("a microVM may ring once for each start and resume", async () => {
  standIn.restoreAnd("ring; next; ring; next; next; ring; ring");
  await using microvm = await restore();
  const rung = () => expect(microvm.waitForDoorbell()).resolves.toEqual({ event: "base-ready", detail: 0 });
  await rung();
  await microvm.resume();
  await rung();
  // It may have rung before each of these, though that is told after both.
  await Promise.all([microvm.resume(), microvm.resume()]);
  await rung();
  await rung();
});

it("one that rings while it must stand still is ended with FIRN_PROTOCOL", async () => {
  standIn.restoreAnd("ring; while ring; do :; done");
  await using microvm = await restore();
  expect(await microvm.exited).toMatchObject({ reason: "failed", error: { code: "FIRN_PROTOCOL" } });
  await expect(microvm.waitForDoorbell()).resolves.toMatchObject({ event: "base-ready" });
  await expect(microvm.waitForDoorbell()).rejects.toMatchObject({ code: "FIRN_PROTOCOL" });
});
