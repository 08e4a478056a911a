import { describe, expect, it } from "vitest";
import { ReplayableBody } from "./replayable-body.ts";

const text = (piece: Uint8Array | undefined) => Buffer.from(piece ?? []).toString();

describe("ReplayableBody", () => {
  it("begins anew for who comes later, also while the first one waits", async () => {
    let go = () => {};
    async function* source() {
      yield Buffer.from("a");
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      yield Buffer.from("b");
    }
    const body = new ReplayableBody(source());
    const first = body[Symbol.asyncIterator]();
    expect(text((await first.next()).value)).toBe("a");
    const waiting = first.next();
    const second = body[Symbol.asyncIterator]();
    expect(text((await second.next()).value)).toBe("a");
    const also = second.next();
    go();
    expect([text((await waiting).value), text((await also).value)]).toEqual(["b", "b"]);
    expect([(await first.next()).done, (await second.next()).done]).toEqual([true, true]);
  });

  it("keeps no more than a function gets unasked", async () => {
    async function* source() {
      for (let index = 0; index < 10; index += 1) yield Buffer.alloc(100_000, index);
    }
    const body = new ReplayableBody(source());
    let bytes = 0;
    for await (const piece of body) bytes += piece.length;
    expect(bytes).toBe(1_000_000);
    await expect(body[Symbol.asyncIterator]().next()).rejects.toThrow("cannot be sent again");
  });

  it("fails as its source does", async () => {
    // biome-ignore lint/correctness/useYield: it fails at once
    async function* source(): AsyncGenerator<Uint8Array> {
      throw new RangeError("no more");
    }
    await expect(new ReplayableBody(source())[Symbol.asyncIterator]().next()).rejects.toThrow("no more");
  });
});
