import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  decodeHostMessage,
  encodeGuestMessage,
  FrameDecoder,
  frame,
  type GuestMessage,
  type HostMessage,
} from "@firn/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentConnection, type GuestLogLine } from "./agent-connection.ts";

/** A guest at the other end of a Unix socket. */
class Peer {
  readonly heard: HostMessage[] = [];
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new FrameDecoder();
    socket.on("data", (chunk) => {
      for (const message of decoder.push(chunk)) this.heard.push(decodeHostMessage(message));
    });
    socket.on("error", () => {});
  }

  say(...messages: GuestMessage[]): void {
    this.socket.write(Buffer.concat(messages.map((message) => frame(encodeGuestMessage(message)))));
  }
}

let server: Server;
let path: string;
let peer: Peer;
let agent: AgentConnection;
const log: GuestLogLine[] = [];
beforeEach(async () => {
  path = join(tmpdir(), `firn-agent-${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
  server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  agent = new AgentConnection(connect(path), { onLog: (line) => log.push(line) });
  peer = new Peer(await accepted);
});
afterEach(async () => {
  agent.close();
  peer.socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await rm(path, { force: true });
  log.length = 0;
});

const soon = { timeoutMs: 2000 };
const resumed: GuestMessage = { type: "resumed", doorbellCount: 1 };
const resultOf = (id: number): GuestMessage => ({
  type: "invokeResult",
  id,
  status: 200,
  headers: [],
  payload: new TextEncoder().encode(`answer ${id}`),
  functionError: "",
});

describe("AgentConnection", () => {
  it("gives steps in order, also those that came before they were expected", async () => {
    peer.say({ type: "hello", protocolVersion: 1, agentVersion: "t", doorbellPresent: true });
    peer.say({ type: "runtimeReady", runtime: "node" });
    expect(await agent.expect("hello", soon)).toMatchObject({ protocolVersion: 1 });
    expect(await agent.expect("runtimeReady", soon)).toMatchObject({ runtime: "node" });
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

  it("hands out an answer that came in one piece with the step before it", async () => {
    const result = agent.result(1);
    peer.say(resumed, resultOf(1));
    await agent.expect("resumed", soon);
    expect(Buffer.from((await result).payload).toString()).toBe("answer 1");
  });

  it("tells answers apart by their number, and ignores one that nobody waits for", async () => {
    const [first, second] = [agent.result(1), agent.result(2)];
    peer.say(resultOf(9), resultOf(2), resultOf(1));
    expect([(await first).id, (await second).id]).toEqual([1, 2]);
  });

  it("passes log lines on, cut to 16 KiB", async () => {
    const line = new TextEncoder().encode("x".repeat(20_000));
    peer.say({ type: "log", stream: "stdout", line }, resumed);
    await agent.expect("resumed", soon);
    expect(log).toEqual([{ stream: "stdout", text: "x".repeat(16 * 1024) }]);
  });

  it("rejects the step that waits with the function's own error, and whoever comes later", async () => {
    const step = agent.expect("functionReady", soon);
    peer.say({ type: "functionFailed", code: "FIRN_FUNCTION_IMPORT", message: "boom", stack: "at x.js:1" });
    const failure = { code: "FIRN_FUNCTION_IMPORT", message: "boom", guestStack: "at x.js:1" };
    await expect(step).rejects.toMatchObject(failure);
    await expect(agent.result(1)).rejects.toMatchObject(failure);
    await expect(agent.expect("functionReady", soon)).rejects.toMatchObject(failure);
  });

  it("knows that a function has ended while nobody waits, and gives what was under way its own answer", async () => {
    const result = agent.result(1);
    const exited = "The runtime process exited with status 1.";
    peer.say(
      { type: "functionFailed", code: "FIRN_FUNCTION_EXITED", message: exited, stack: "" },
      resultOf(1),
    );
    expect(await agent.ended).toMatchObject({ code: "FIRN_FUNCTION_EXITED", message: exited });
    expect((await result).id).toBe(1);
    await expect(agent.result(2)).rejects.toMatchObject({ code: "FIRN_FUNCTION_EXITED" });
  });

  it("goes on after a hook that failed at the step that ran it", async () => {
    const step = agent.expect("snapshotPrepared", soon);
    peer.say({ type: "functionFailed", code: "FIRN_FUNCTION_HOOK", message: "busy", stack: "" });
    await expect(step).rejects.toMatchObject({ code: "FIRN_FUNCTION_HOOK" });
    const result = agent.result(1);
    peer.say(resultOf(1));
    expect((await result).id).toBe(1);
  });

  it("says FIRN_AGENT_PROTOCOL for a step out of turn", async () => {
    peer.say({ type: "snapshotPrepared" });
    await expect(agent.expect("functionReady", soon)).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
    expect(() => agent.send({ type: "prepareSnapshot" })).toThrow("snapshotPrepared");
  });

  it("says FIRN_AGENT_PROTOCOL for bytes that are no message, or too many steps", async () => {
    const step = agent.expect("resumed", soon);
    peer.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2]));
    await expect(step).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("gives up on a guest that floods it with steps", async () => {
    const result = agent.result(1);
    peer.say(...new Array<GuestMessage>(40).fill(resumed));
    await expect(result).rejects.toMatchObject({ code: "FIRN_AGENT_PROTOCOL" });
  });

  it("says FIRN_AGENT_DISCONNECTED when the guest goes, to those who wait and those who come", async () => {
    const result = agent.result(1);
    const step = agent.expect("resumed", soon);
    peer.socket.destroy();
    await expect(step).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
    await expect(result).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
    await expect(agent.result(2)).rejects.toMatchObject({ code: "FIRN_AGENT_DISCONNECTED" });
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
