import { afterRestore, beforeSnapshot, deferReady, ready, warmUp } from "@firn/guest";
import { simulateGuest } from "@firn/guest/testing";
import { expect, it } from "vitest";

it("a simulated guest runs the hooks of a function as a deploy and a clone do", async () => {
  using guest = simulateGuest();
  const log: string[] = [];
  deferReady();
  warmUp(() => log.push("warm-up"));
  for (const name of ["one", "two"]) {
    beforeSnapshot(async () => log.push(`before ${name}`));
    afterRestore(async () => log.push(`after ${name}`));
  }
  const becoming = guest.becomeReady();
  expect(log).toEqual([]);
  ready();
  await becoming;
  await guest.snapshotAndRestore();
  expect(log).toEqual(["warm-up", "before two", "before one", "after one", "after two"]);
  expect(() => simulateGuest()).toThrow("already");
});

it("it tells of a hook that fails, and is gone when it is disposed of", async () => {
  using guest = simulateGuest();
  afterRestore(() => {
    throw new RangeError("no connection");
  });
  await expect(guest.snapshotAndRestore()).rejects.toMatchObject({
    code: "FIRN_FUNCTION_HOOK",
    message: expect.stringContaining("no connection"),
  });
  guest[Symbol.dispose]();
  warmUp(() => expect.unreachable());
  using next = simulateGuest();
  await next.becomeReady();
});
