import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bootGuest } from "./guest.ts";
import { GuestConsole } from "./guest-console.ts";

const PAUSE_MS = 5000;

it("pause() stops a guest and its monotonic clock, and resume() lets both go on", async () => {
  // Says the longest time between two of its ticks so far, as its CLOCK_MONOTONIC has it.
  const program =
    "let last = performance.now(), most = 0; setInterval(() => { const now = performance.now(); " +
    "most = Math.max(most, now - last); last = now; console.log('tick ' + Math.round(most)) }, 50)";
  await using microvm = await bootGuest({
    console: true,
    kernelParameters: ["init=/usr/bin/node", "--", "-e", `"${program}"`],
  });
  const console = new GuestConsole(microvm, "tick");
  for (let ticks = 0; ticks < 5; ticks += 1) await console.next();

  await microvm.pause();
  await microvm.pause();
  const { kvmExits } = await microvm.statistics();
  await sleep(PAUSE_MS);
  assert.equal(
    (await microvm.statistics()).kvmExits,
    kvmExits,
    "a guest that stands still leaves KVM for nothing",
  );
  await microvm.resume();
  // More than the pipe can have held before.
  let most = 0;
  for (let ticks = 0; ticks < 50; ticks += 1) most = Number(await console.next());
  assert.ok(most > 0 && most < PAUSE_MS / 2, `${most} ms went by for the guest at once`);
});
