import { type GuestMessage, INITIAL_CREDIT_BYTES, type PayloadChunk } from "@firn/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConnectedPeer, connectPeer, endOf, headOf } from "../../test/guest-peer.ts";
import type { InvokeRequest } from "./invocation.ts";
import { ResponseStream } from "./response-stream.ts";

let connected: ConnectedPeer;
beforeEach(async () => {
  connected = await connectPeer();
});
afterEach(() => connected[Symbol.asyncDispose]());

const request: InvokeRequest = { requestId: "request", timeoutMs: 1000, payload: Buffer.of() };
const chunk = (text: string, last = false): GuestMessage => ({
  type: "payloadChunk",
  id: 1,
  data: Buffer.from(text),
  last,
});
const open = async (more: Partial<InvokeRequest> = {}) => {
  const exchange = connected.agent.exchange(1, { ...request, ...more });
  return new ResponseStream(exchange, await exchange.opened, exchange.ended);
};
const heard = () => connected.peer.heard;
const text = (piece: Uint8Array | undefined) => Buffer.from(piece ?? []).toString();

describe("a response that is written piece by piece", () => {
  it("is there before its end, and each piece when it has come", async () => {
    const { peer } = connected;
    peer.say(headOf(1, "first ", true));
    const response = await open();
    expect(response).toMatchObject({ status: 200, streams: true });
    const reader = response.body.getReader();
    expect(text((await reader.read()).value)).toBe("first ");
    peer.say(chunk("second"));
    expect(text((await reader.read()).value)).toBe("second");
    peer.say(endOf(1));
    expect((await reader.read()).done).toBe(true);
    expect(await response.ended).toMatchObject({
      functionError: "",
      errorType: "",
      report: { durationMs: 1.5 },
    });
  });

  it("is granted credit as it is read, and not as it comes", async () => {
    const { peer } = connected;
    const half = "x".repeat(INITIAL_CREDIT_BYTES / 2);
    peer.say(headOf(1, half, true), chunk(half));
    const reader = (await open()).body.getReader();
    peer.say({ type: "credit", id: 1, bytes: 1 });
    await reader.read();
    await expect.poll(heard).toEqual([{ type: "credit", id: 1, bytes: half.length }]);
    await reader.read();
    await expect.poll(() => heard().length).toBe(2);
  });

  it("breaks off when the function fails, and is an error as a whole", async () => {
    const { peer } = connected;
    const end = endOf(1, { functionError: "Unhandled", errorType: "TypeError", errorMessage: "no" });
    peer.say(headOf(1, "half", true), end);
    const response = await open();
    const reader = response.body.getReader();
    expect(text((await reader.read()).value)).toBe("half");
    await expect(reader.read()).rejects.toMatchObject({
      code: "FIRN_RESPONSE_BROKEN",
      message: "The function failed after its response had begun: TypeError: no",
    });
    expect(await response.ended).toMatchObject({ functionError: "Unhandled", errorType: "TypeError" });
    peer.say(headOf(2, "half", true), endOf(2, { errorType: "TypeError", errorMessage: "no" }));
    const whole = await connected.agent.exchange(2, request).response;
    expect(whole).toMatchObject({ status: 500, functionError: "Unhandled" });
  });

  it("may be complete before its invocation ends", async () => {
    const { peer } = connected;
    peer.say(headOf(1, "all"), chunk("", true));
    const response = await open();
    expect(text((await response.whole()).payload)).toBe("all");
    peer.say(endOf(1, { functionError: "Unhandled", errorType: "Sandbox.Timedout", errorMessage: "late" }));
    expect(await response.ended).toMatchObject({ errorType: "Sandbox.Timedout" });
  });

  it("whose reader goes is cancelled, and what comes of it all the same is dropped", async () => {
    const { peer } = connected;
    peer.say(headOf(1, "first", true));
    const response = await open();
    await response.body.cancel();
    await expect.poll(heard).toEqual([{ type: "cancelInvoke", id: 1 }]);
    const half = "x".repeat(INITIAL_CREDIT_BYTES / 2);
    peer.say(chunk(half), chunk("y"));
    await expect.poll(() => heard().at(-1)).toMatchObject({ type: "credit" });
    peer.say(endOf(1));
    expect(await response.ended).toMatchObject({ functionError: "" });
  });

  it("is given up when it is too long, with the name that AWS Lambda has for it", async () => {
    const { peer } = connected;
    peer.say(headOf(1, "12345", true));
    const response = await open({ streamLimitBytes: 8, responseLimitBytes: 5 });
    const reader = response.body.getReader();
    await reader.read();
    peer.say(chunk("6789"));
    await expect(reader.read()).rejects.toThrow(
      "Function.ResponseSizeTooLarge: The response is longer than 8",
    );
    await expect.poll(heard).toEqual([{ type: "cancelInvoke", id: 1 }]);
    peer.say(endOf(1));
    expect(await response.ended).toMatchObject({ errorType: "Function.ResponseSizeTooLarge" });
  });

  it("fails the connection if it is more than there was credit for", async () => {
    const { peer, agent } = connected;
    const exchange = agent.exchange(1, request);
    peer.say(headOf(1, "x".repeat(INITIAL_CREDIT_BYTES), true), chunk("y"));
    await expect(exchange.ended).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("costs as many bytes as it has when it comes byte by byte", async () => {
    const { peer } = connected;
    const letters = Array.from({ length: 20_000 }, (_, index) => String.fromCharCode(97 + (index % 26)));
    peer.say(headOf(1, "", true), ...letters.map((letter) => chunk(letter)), endOf(1));
    const response = await open();
    await response.ended;
    let pieces = 0;
    let all = "";
    for await (const piece of response.body) {
      pieces += 1;
      all += text(piece);
    }
    expect(all).toBe(letters.join(""));
    expect(pieces).toBeLessThan(4);
  });
});

describe("the rest of a request", () => {
  const chunks = () =>
    heard().filter((one): one is { type: "payloadChunk" } & PayloadChunk => one.type === "payloadChunk");

  it("is sent as it arrives, as far as the guest has granted credit", async () => {
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    async function* rest() {
      yield Buffer.from("first");
      await gate;
      yield Buffer.alloc(INITIAL_CREDIT_BYTES, 120);
    }
    connected.agent.exchange(1, { ...request, rest: rest() });
    await expect.poll(() => chunks().map(({ data, last }) => [text(data), last])).toEqual([["first", false]]);
    go();
    const sent = () => chunks().reduce((sum, { data }) => sum + data.length, 0);
    await expect.poll(sent).toBe(INITIAL_CREDIT_BYTES);
    expect(chunks().at(-1)?.last).toBe(false);
    connected.peer.say({ type: "credit", id: 1, bytes: 5 });
    await expect.poll(() => chunks().at(-1)).toMatchObject({ last: true });
    expect(sent()).toBe(INITIAL_CREDIT_BYTES + 5);
  });

  it("that breaks off cancels the invocation, and is the error of who waits for a response", async () => {
    async function* rest(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("half");
      throw new RangeError("no more of it");
    }
    const exchange = connected.agent.exchange(1, { ...request, rest: rest() });
    await expect(exchange.opened).rejects.toThrow("no more of it");
    await expect.poll(heard).toContainEqual({ type: "cancelInvoke", id: 1 });
    connected.peer.say(
      endOf(1, { functionError: "Unhandled", errorType: "AbortError", errorMessage: "gone" }),
    );
    expect(await exchange.ended).toMatchObject({ errorType: "AbortError" });
  });

  it("is not asked for when the invocation has ended", async () => {
    let asked = 0;
    async function* rest() {
      for (;;) {
        asked += 1;
        yield Buffer.alloc(64 * 1024);
      }
    }
    const exchange = connected.agent.exchange(1, { ...request, rest: rest() });
    await expect.poll(() => chunks().length).toBe(4);
    connected.peer.say(headOf(1), endOf(1));
    await exchange.response;
    expect(asked).toBe(5);
  });
});
