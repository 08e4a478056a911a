import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { SharedLock } from "./shared-lock.ts";

describe("SharedLock", () => {
  it("never runs a task alone beside another, and runs all in the end", async () => {
    const lock = new SharedLock();
    let shared = 0;
    let alone = 0;
    let done = 0;
    const share = () =>
      lock.shared(async () => {
        shared += 1;
        expect(alone).toBe(0);
        await sleep(Math.random() * 4);
        // A task within a task must not wait for one that waits to be alone.
        await lock.shared(() => sleep(1));
        shared -= 1;
        done += 1;
      });
    const isolate = () =>
      lock.alone(async () => {
        alone += 1;
        expect([alone, shared]).toEqual([1, 0]);
        await sleep(Math.random() * 2);
        alone -= 1;
        done += 1;
      });
    await Promise.all(Array.from({ length: 60 }, (_, index) => (index % 4 === 0 ? isolate() : share())));
    expect(done).toBe(60);
  });

  it("goes on after a task that failed", async () => {
    const lock = new SharedLock();
    const fail = async () => {
      throw new Error("failed");
    };
    await expect(lock.alone(fail)).rejects.toThrow("failed");
    await expect(lock.shared(fail)).rejects.toThrow("failed");
    expect(await lock.alone(async () => "alone")).toBe("alone");
  });
});
