import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  decodeGuestMessage,
  decodeHostMessage,
  encodeGuestMessage,
  encodeHostMessage,
  encodeRuntimeCommand,
  encodeRuntimeReport,
  encodeRuntimeResume,
} from "./codec.ts";
import { frame } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import type { GuestMessage, HostMessage } from "./messages.ts";

const generation = Uint8Array.from({ length: 16 }, (_, index) => index);
const entropy = Uint8Array.from({ length: 64 }, (_, index) => 255 - index);
const payload = new TextEncoder().encode('{"name":"firn"}');
const header = { name: "content-type", value: "application/json" };
const invoke = {
  type: "invoke",
  id: 7,
  requestId: "request-7",
  timeoutMs: 3000,
  kind: "http",
  payload,
  method: "POST",
  url: "http://function/thumbnail?width=64",
  headers: [header],
} as const;
const loadFunction = {
  type: "loadFunction",
  entry: "index.js",
  handler: "default",
  environment: { GREETING: "grüezi" },
  readyTimeoutMs: 60_000,
  functionName: "hello",
  memoryMib: 256,
} as const;
const invokeResult = {
  type: "invokeResult",
  id: 4_294_967_295,
  status: 200,
  headers: [header],
  payload,
  functionError: "Unhandled",
} as const;
const functionFailed = {
  type: "functionFailed",
  code: "FIRN_FUNCTION_IMPORT",
  message: "no",
  stack: "Error: no\n    at index.js:1:1",
} as const;

const hostMessages: Record<string, HostMessage> = {
  "host.resume": {
    type: "resume",
    generation,
    entropy,
    clockSeconds: 1_763_870_400,
    clockNanoseconds: 999_999_999,
  },
  "host.load_function": loadFunction,
  "host.prepare_snapshot": { type: "prepareSnapshot" },
  "host.snapshot_go": { type: "snapshotGo", event: 3 },
  "host.invoke": invoke,
  "host.cancel_invoke": { type: "cancelInvoke", id: 7 },
};
const guestMessages: Record<string, GuestMessage> = {
  "guest.hello": { type: "hello", protocolVersion: 1, agentVersion: "0.1.0", doorbellPresent: true },
  "guest.runtime_ready": { type: "runtimeReady", runtime: "node 24.9.0" },
  "guest.function_ready": { type: "functionReady" },
  "guest.function_failed": functionFailed,
  "guest.snapshot_prepared": { type: "snapshotPrepared" },
  "guest.invoke_result": invokeResult,
  "guest.log": { type: "log", stream: "stdout", line: payload },
  "guest.resumed": { type: "resumed", doorbellCount: 2 },
};
const encoded: Record<string, Uint8Array> = {
  ...Object.fromEntries(
    Object.entries(hostMessages).map(([name, message]) => [name, encodeHostMessage(message)]),
  ),
  ...Object.fromEntries(
    Object.entries(guestMessages).map(([name, message]) => [name, encodeGuestMessage(message)]),
  ),
  "runtime_command.load_function": encodeRuntimeCommand(loadFunction),
  "runtime_command.prepare_snapshot": encodeRuntimeCommand({ type: "prepareSnapshot" }),
  "runtime_command.invoke": encodeRuntimeCommand(invoke),
  "runtime_command.cancel_invoke": encodeRuntimeCommand({ type: "cancelInvoke", id: 7 }),
  "runtime_report.runtime_ready": encodeRuntimeReport({ type: "runtimeReady", runtime: "node 24.9.0" }),
  "runtime_report.function_ready": encodeRuntimeReport({ type: "functionReady" }),
  "runtime_report.function_failed": encodeRuntimeReport(functionFailed),
  "runtime_report.quiesced": encodeRuntimeReport({ type: "quiesced" }),
  "runtime_report.resumed": encodeRuntimeReport({ type: "resumed" }),
  "runtime_report.invoke_result": encodeRuntimeReport(invokeResult),
  runtime_resume: encodeRuntimeResume({ entropy }),
};

const golden = new Map(
  readFileSync(new URL("../test/golden.hex", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(" ") as [string, string]),
);

// The wire format is an ABI: snapshots hold agents that were built long ago. A line of the file changes only with the
// version of the protocol.
describe("golden bytes", () => {
  it("the file names every kind of message, and nothing else", () => {
    expect([...golden.keys()].sort()).toEqual(Object.keys(encoded).sort());
  });

  for (const [name, message] of Object.entries(encoded)) {
    it(`${name} is encoded as in the file`, () => {
      expect(Buffer.from(frame(message)).toString("hex")).toBe(golden.get(name));
    });
  }

  for (const [name, message] of Object.entries({ ...hostMessages, ...guestMessages })) {
    it(`${name} is decoded as it was written`, () => {
      const [bytes] = new FrameDecoder().push(Buffer.from(golden.get(name) ?? "", "hex"));
      const decoded = name.startsWith("host.")
        ? decodeHostMessage(bytes as Uint8Array)
        : decodeGuestMessage(bytes as Uint8Array);
      for (const [field, value] of Object.entries(message)) {
        const got = (decoded as unknown as Record<string, unknown>)[field];
        if (value instanceof Uint8Array) expect([...(got as Uint8Array)]).toEqual([...value]);
        else expect(got).toEqual(value);
      }
    });
  }
});
