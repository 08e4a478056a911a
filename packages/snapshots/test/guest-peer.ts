import { rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  decodeHostMessage,
  encodeGuestMessage,
  FrameDecoder,
  frame,
  type GuestMessage,
  type HostMessage,
  type InvokeEnd,
} from "@firn/protocol";
import { AgentConnection, type GuestLogLine } from "../src/instances/agent-connection.ts";

/** A guest at the other end of a Unix socket. */
export class Peer {
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

/** A connection, and the guest at its other end. */
export interface ConnectedPeer extends AsyncDisposable {
  readonly peer: Peer;
  readonly agent: AgentConnection;
}

/** Connects a guest over a Unix socket. */
export async function connectPeer(onLog: (line: GuestLogLine) => void = () => {}): Promise<ConnectedPeer> {
  const path = join(tmpdir(), `firn-agent-${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const agent = new AgentConnection(connect(path), { onLog });
  const peer = new Peer(await accepted);
  return {
    peer,
    agent,
    async [Symbol.asyncDispose]() {
      agent.close();
      peer.socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(path, { force: true });
    },
  };
}

/** The beginning of an answer. */
export const headOf = (id: number, payload = `answer ${id}`, streams = false): GuestMessage => ({
  type: "responseHead",
  id,
  status: 200,
  headers: [],
  payload: new TextEncoder().encode(payload),
  streams,
});

/** The end of an invocation. */
export const endOf = (id: number, end: Partial<InvokeEnd> = {}): GuestMessage => ({
  type: "invokeEnd",
  id,
  functionError: "",
  errorType: "",
  errorMessage: "",
  durationUs: 1500,
  memoryPeakKib: 2049,
  initUs: 0,
  restoreUs: 800,
  ...end,
});
