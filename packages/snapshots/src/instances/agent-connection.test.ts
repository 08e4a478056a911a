import {
  decodeHostMessage,
  FrameDecoder,
  type GuestMessage,
  INITIAL_CREDIT_BYTES,
  MAX_CHUNK_BYTES,
} from "@firn/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConnectedPeer, connectPeer, endOf, headOf, type Peer } from "../../test/guest-peer.ts";
import { AgentConnection, type GuestLogLine } from "./agent-connection.ts";
import { invokeMessage } from "./exchange.ts";
import type { InvokeRequest, InvokeResponse } from "./invocation.ts";

let peer: Peer;
let agent: AgentConnection;
let connected: ConnectedPeer;
const log: GuestLogLine[] = [];
beforeEach(async () => {
  connected = await connectPeer((line) => log.push(line));
  ({ peer, agent } = connected);
});
afterEach(async () => {
  await connected[Symbol.asyncDispose]();
  log.length = 0;
});

const soon = { timeoutMs: 2000 };
const runtime = { runtimeName: "node24", runtimeVersion: "24.9.0" };
const resumed: GuestMessage = { type: "resumed", doorbellCount: 1, agentAbi: 2, ...runtime };
const hello: GuestMessage = {
  type: "hello",
  agentAbi: 2,
  agentVersion: "t",
  doorbellPresent: true,
  ...runtime,
};
const request = (payload = ""): InvokeRequest => ({
  requestId: "request",
  timeoutMs: 1000,
  payload: Buffer.from(payload),
});
const answer = (id: number): GuestMessage[] => [headOf(id), endOf(id)];
const textOf = ({ payload }: InvokeResponse) => Buffer.from(payload).toString();

describe("AgentConnection", () => {
  it("gives steps in order, also those that came before they were expected", async () => {
    peer.say(hello, { type: "runtimeReady" });
    expect(await agent.expect("hello", soon)).toMatchObject({ agentVersion: "t", ...runtime });
    await agent.expect("runtimeReady", soon);
    const late = agent.expect("functionReady", soon);
    peer.say({ type: "functionReady" });
    await late;
    expect(agent.atFrameBoundary).toBe(true);
  });

  it("sends messages that the guest can read", async () => {
    agent.send({ type: "prepareSnapshot" });
    agent.send({ type: "snapshotGo", event: 3 });
    await expect
      .poll(() => peer.heard)
      .toEqual([{ type: "prepareSnapshot" }, { type: "snapshotGo", event: 3 }]);
  });

  it("refuses an agent of another ABI, and says what to do", async () => {
    peer.say({ ...resumed, agentAbi: 1 } as GuestMessage);
    await expect(agent.expect("resumed", soon)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_INCOMPATIBLE",
      message: "The agent in the snapshot has ABI 1, and this program speaks 2. Make the snapshot again.",
    });
  });

  it("refuses an image whose agent is of another ABI", async () => {
    peer.say({ ...hello, agentAbi: 3 } as GuestMessage);
    await expect(agent.expect("hello", soon)).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("hands out an answer that came in one piece with the step before it, with what it cost", async () => {
    const { response } = agent.exchange(1, request());
    peer.say(resumed, ...answer(1));
    await agent.expect("resumed", soon);
    expect(textOf(await response)).toBe("answer 1");
    expect((await response).report).toEqual({
      durationMs: 1.5,
      billedDurationMs: 2,
      maxMemoryUsedMib: 3,
      initDurationMs: undefined,
      restoreDurationMs: 0.8,
    });
  });

  it("tells answers apart by their number, and ignores one that nobody waits for", async () => {
    const [first, second] = [1, 2].map((id) => agent.exchange(id, request()).response);
    peer.say(...answer(9), headOf(1), ...answer(2), endOf(1));
    expect(textOf((await first) as InvokeResponse)).toBe("answer 1");
    expect(textOf((await second) as InvokeResponse)).toBe("answer 2");
  });

  it("puts an answer together from pieces, and grants credit in large steps", async () => {
    const { response } = agent.exchange(1, request());
    const chunk = (text: string): GuestMessage => ({
      type: "payloadChunk",
      id: 1,
      data: Buffer.from(text),
      last: false,
    });
    peer.say(headOf(1, "a"), ...Array.from("bcdefgh", chunk), chunk(""));
    const long = "x".repeat(MAX_CHUNK_BYTES);
    peer.say(chunk(long), chunk(long), chunk(long), endOf(1));
    expect(textOf(await response)).toBe(`abcdefgh${long}${long}${long}`);
    await expect.poll(() => peer.heard).toEqual([{ type: "credit", id: 1, bytes: 8 + 2 * MAX_CHUNK_BYTES }]);
  });

  it("drops lines of a flood, and says how many before the answer", async () => {
    const { response } = agent.exchange(1, request());
    const line = Buffer.alloc(16 * 1024, "x");
    const printed: GuestMessage = { type: "log", stream: "stdout", level: "info", invocation: 1, line };
    peer.say(...new Array(2000).fill(printed), headOf(1, "fine"), endOf(1));
    expect(textOf(await response)).toBe("fine");
    const told = log.filter(({ stream }) => stream === "agent");
    expect(log.at(-1)?.text).toMatch(/^\d+ log lines were dropped/);
    const dropped = told.reduce((sum, { text }) => sum + Number.parseInt(text, 10), 0);
    expect(dropped + log.length - told.length).toBe(2000);
  });

  it("grants no credit for a response that is within the first", async () => {
    const { response } = agent.exchange(1, request());
    peer.say(headOf(1, "small"), endOf(1));
    expect(textOf(await response)).toBe("small");
    agent.exchange(2, request()).cancel();
    await expect.poll(() => peer.heard).toEqual([{ type: "cancelInvoke", id: 2 }]);
  });

  it("sends what does not fit into the first message as the guest grants credit", async () => {
    const text = "0123456789abcdef".repeat(40_000);
    const big = request(text);
    const first = invokeMessage(1, big);
    expect(first).toMatchObject({ more: true });
    expect(first.payload).toHaveLength(INITIAL_CREDIT_BYTES);
    agent.exchange(1, big);
    agent.send(first);
    const received = () =>
      Buffer.concat(
        peer.heard.map((message) =>
          message.type === "invoke"
            ? message.payload
            : message.type === "payloadChunk"
              ? message.data
              : Buffer.alloc(0),
        ),
      );
    for (let granted = INITIAL_CREDIT_BYTES; granted < text.length; granted += 100_000) {
      await expect.poll(() => received().length).toBe(granted);
      expect(peer.heard.at(-1)).not.toMatchObject({ last: true });
      peer.say({ type: "credit", id: 1, bytes: 100_000 });
    }
    await expect.poll(() => peer.heard.at(-1)).toMatchObject({ type: "payloadChunk", last: true });
    expect(received().toString()).toBe(text);
  });

  it("gives an answer up that is longer than its caller takes", async () => {
    const { response } = agent.exchange(1, { ...request(), responseLimitBytes: 10 });
    peer.say(headOf(1, "0123456789"));
    peer.say({ type: "payloadChunk", id: 1, data: Buffer.from("more"), last: false });
    await expect.poll(() => peer.heard).toContainEqual({ type: "cancelInvoke", id: 1 });
    peer.say(endOf(1, { functionError: "Unhandled", errorType: "AbortError", errorMessage: "cancelled" }));
    expect(await response).toMatchObject({ status: 500, functionError: "Unhandled" });
    expect(JSON.parse(textOf(await response))).toMatchObject({ errorType: "Function.ResponseSizeTooLarge" });
  });

  it("makes an answer that broke off an error", async () => {
    const { response } = agent.exchange(1, request());
    peer.say(headOf(1, "half of"));
    peer.say(endOf(1, { functionError: "Unhandled", errorType: "TypeError", errorMessage: "no" }));
    expect(await response).toMatchObject({ status: 500, functionError: "Unhandled" });
    expect(JSON.parse(textOf(await response))).toEqual({
      errorType: "TypeError",
      errorMessage: "no",
      trace: [],
    });
  });

  it("tells a refused invocation, which may be made elsewhere, from a failed one", async () => {
    const { response } = agent.exchange(1, request());
    peer.say({ type: "invokeRefused", id: 1, code: "FIRN_FUNCTION_EXITED", message: "It has exited." });
    await expect(response).rejects.toMatchObject({ code: "FIRN_INSTANCE_ENDED" });
  });

  it("gives up on a guest that answers twice, or goes on with what it has not begun", async () => {
    const { response } = agent.exchange(1, request());
    peer.say(headOf(1), headOf(1));
    await expect(response).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("passes log lines on, cut to 16 KiB, with the request that wrote them, answered or not", async () => {
    const line = new TextEncoder().encode("x".repeat(20_000));
    const { response } = agent.exchange(1, request());
    peer.say({ type: "log", stream: "stdout", line, level: "debug", invocation: 1 }, ...answer(1));
    peer.say({ type: "log", stream: "stderr", line: Buffer.from("late"), level: "warn", invocation: 1 });
    peer.say(
      { type: "log", stream: "agent", line: Buffer.from("other"), level: "info", invocation: 0 },
      resumed,
    );
    await response;
    await agent.expect("resumed", soon);
    expect(log).toEqual([
      { stream: "stdout", text: "x".repeat(16 * 1024), level: "debug", requestId: "request" },
      { stream: "stderr", text: "late", level: "warn", requestId: "request" },
      { stream: "agent", text: "other", level: "info", requestId: undefined },
    ]);
  });

  it("rejects the step that waits with the function's own error, and whoever comes later", async () => {
    const step = agent.expect("functionReady", soon);
    peer.say({ type: "functionFailed", code: "FIRN_FUNCTION_IMPORT", message: "boom", stack: "at x.js:1" });
    const failure = { code: "FIRN_FUNCTION_IMPORT", message: "boom", guestStack: "at x.js:1" };
    await expect(step).rejects.toMatchObject(failure);
    const ended = { code: "FIRN_INSTANCE_ENDED", cause: failure };
    await expect(agent.exchange(1, request()).response).rejects.toMatchObject(ended);
    await expect(agent.expect("functionReady", soon)).rejects.toMatchObject(failure);
  });

  it.each(["FIRN_SNAPSHOT_INCOMPATIBLE", "FIRN_SNAPSHOT_CORRUPT", "FIRN_FUNCTION_SAMPLE", "", "toString"])(
    "takes no code of the host's from a guest: %s",
    async (code) => {
      const step = agent.expect("functionReady", soon);
      peer.say({ type: "functionFailed", code, message: "boom", stack: "" });
      await expect(step).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL", message: "boom" });
    },
  );

  it("knows that a function has ended while nobody waits, and gives what was under way its own answer", async () => {
    const { response } = agent.exchange(1, request());
    const exited = "The runtime process exited with status 1.";
    peer.say(
      { type: "functionFailed", code: "FIRN_FUNCTION_EXITED", message: exited, stack: "" },
      ...answer(1),
    );
    expect(await agent.ended).toMatchObject({ code: "FIRN_FUNCTION_EXITED", message: exited });
    expect(textOf(await response)).toBe("answer 1");
    await expect(agent.exchange(2, request()).response).rejects.toMatchObject({
      code: "FIRN_INSTANCE_ENDED",
    });
  });

  it("goes on after a hook that failed at the step that ran it", async () => {
    const step = agent.expect("snapshotPrepared", soon);
    peer.say({ type: "functionFailed", code: "FIRN_FUNCTION_HOOK", message: "busy", stack: "" });
    await expect(step).rejects.toMatchObject({ code: "FIRN_FUNCTION_HOOK" });
    const { response } = agent.exchange(1, request());
    peer.say(...answer(1));
    expect(textOf(await response)).toBe("answer 1");
  });

  it("says FIRN_AGENT_PROTOCOL for a step out of turn", async () => {
    peer.say({ type: "snapshotPrepared", warnings: [] });
    await expect(agent.expect("functionReady", soon)).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
    expect(() => agent.send({ type: "prepareSnapshot" })).toThrow("snapshotPrepared");
  });

  it("says FIRN_AGENT_PROTOCOL for bytes that are no message, or too many steps", async () => {
    const step = agent.expect("resumed", soon);
    peer.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2]));
    await expect(step).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("gives up on a guest that floods it with steps", async () => {
    const { response } = agent.exchange(1, request());
    peer.say(...new Array<GuestMessage>(40).fill(resumed));
    await expect(response).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("says FIRN_AGENT_DISCONNECTED when the guest goes, to those who wait and those who come", async () => {
    const { response } = agent.exchange(1, request());
    const step = agent.expect("resumed", soon);
    peer.socket.destroy();
    await expect(step).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
    await expect(response).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
    await expect(agent.exchange(2, request()).response).rejects.toMatchObject({
      code: "FIRN_AGENT_DISCONNECTED",
    });
    await expect(agent.expect("resumed", soon)).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
  });

  it("says FIRN_TIMEOUT at the deadline and FIRN_ABORTED when the caller gives up", async () => {
    await expect(agent.expect("resumed", { timeoutMs: 20 })).rejects.toMatchObject({
      code: "FIRN_TIMEOUT",
      message: expect.stringContaining("20 ms"),
    });
    const signal = AbortSignal.timeout(20);
    await expect(agent.expect("resumed", { timeoutMs: 2000, signal })).rejects.toMatchObject({
      code: "FIRN_ABORTED",
    });
    await expect(
      agent.expect("resumed", { timeoutMs: 2000, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: "FIRN_ABORTED" });
  });

  it("encodes several messages into the bytes of a guest's queue", () => {
    const bytes = AgentConnection.encode({ type: "prepareSnapshot" }, { type: "snapshotGo", event: 2 });
    const messages = new FrameDecoder().push(bytes).map((message) => decodeHostMessage(message).type);
    expect(messages).toEqual(["prepareSnapshot", "snapshotGo"]);
  });
});
