import { expect, it } from "vitest";
import { Doorbell } from "./doorbell.ts";
import { FirnVmmError } from "./errors.ts";

const limits = { timeoutMs: 1000 };

it("next() takes a ring that came before, and each ring once", async () => {
  const doorbell = new Doorbell();
  doorbell.ring(2, 7);
  doorbell.ring(3, 0);
  expect(await doorbell.next(limits)).toEqual({ event: "base-ready", detail: 7 });
  expect(await doorbell.next(limits)).toEqual({ event: "warm", detail: 0 });
});

it("next() waits, and rings go to those who wait in their order", async () => {
  const doorbell = new Doorbell();
  const both = Promise.all([doorbell.next(limits), doorbell.next(limits)]);
  doorbell.ring(1, 1);
  doorbell.ring(4, 2);
  expect(await both).toEqual([
    { event: "booted", detail: 1 },
    { event: "failed", detail: 2 },
  ]);
});

it("next() that gave up takes no ring from the next one", async () => {
  const doorbell = new Doorbell();
  await expect(doorbell.next({ timeoutMs: 5 })).rejects.toMatchObject({ code: "FIRN_TIMEOUT" });
  const controller = new AbortController();
  const aborted = expect(doorbell.next({ ...limits, signal: controller.signal })).rejects.toMatchObject({
    code: "FIRN_ABORTED",
    cause: "enough",
  });
  controller.abort("enough");
  await aborted;
  const last = doorbell.next(limits);
  doorbell.ring(1, 0);
  expect(await last).toEqual({ event: "booted", detail: 0 });
});

it("end() rejects those who wait and come later, but not who takes an earlier ring", async () => {
  const doorbell = new Doorbell();
  const reason = new FirnVmmError("FIRN_VMM_CLOSED", "closed");
  const waiting = expect(doorbell.next(limits)).rejects.toBe(reason);
  doorbell.end(reason);
  await waiting;
  await expect(doorbell.next(limits)).rejects.toBe(reason);

  const rung = new Doorbell();
  rung.ring(3, 0);
  rung.end(reason);
  expect(await rung.next(limits)).toEqual({ event: "warm", detail: 0 });
  await expect(rung.next(limits)).rejects.toBe(reason);
});

it("next() rejects with FIRN_GUEST for an event that does not exist", async () => {
  const doorbell = new Doorbell();
  doorbell.ring(99, 0);
  await expect(doorbell.next(limits)).rejects.toMatchObject({ code: "FIRN_GUEST" });
});
