import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  decodeGuestMessage,
  decodeHostMessage,
  encodeGuestMessage,
  encodeHostMessage,
  encodeRuntimeCommand,
  encodeRuntimeLog,
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
  more: true,
  traceId: "Root=1-5759e988-bd862e3fe1be46a994272793",
  clientContext: '{"custom":{}}',
  functionVersion: "$LATEST",
  functionArn: "arn:aws:lambda:local:000000000000:function:hello",
  rehearsal: true,
} as const;
const payloadChunk = { type: "payloadChunk", id: 7, data: payload, last: true } as const;
const credit = { type: "credit", id: 7, bytes: 262_144 } as const;
const loadFunction = {
  type: "loadFunction",
  entry: "index.js",
  handler: "default",
  environment: { GREETING: "grüezi" },
  readyTimeoutMs: 60_000,
  functionName: "hello",
  memoryMib: 256,
  command: ["./server", "--quiet"],
  port: 8080,
} as const;
const responseHead = {
  type: "responseHead",
  id: 4_294_967_295,
  status: 200,
  headers: [header],
  payload,
  streams: true,
} as const;
const invokeEnd = {
  type: "invokeEnd",
  id: 4_294_967_295,
  functionError: "Unhandled",
  errorType: "TypeError",
  errorMessage: "no",
  durationUs: 1234,
  memoryPeakKib: 65_536,
  initUs: 250_000,
  restoreUs: 800,
} as const;
const warnings = [{ code: "FIRN_CHILD_PROCESS", message: "A child process runs." }];
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
    environment: { SECRET: "s3cret" },
  },
  "host.load_function": loadFunction,
  "host.prepare_snapshot": { type: "prepareSnapshot" },
  "host.snapshot_go": { type: "snapshotGo", event: 3 },
  "host.invoke": invoke,
  "host.cancel_invoke": { type: "cancelInvoke", id: 7 },
  "host.payload_chunk": payloadChunk,
  "host.credit": credit,
};
const guestMessages: Record<string, GuestMessage> = {
  "guest.hello": {
    type: "hello",
    agentAbi: 2,
    agentVersion: "0.1.0",
    doorbellPresent: true,
    runtimeName: "node24",
    runtimeVersion: "24.9.0",
  },
  "guest.runtime_ready": { type: "runtimeReady" },
  "guest.function_ready": { type: "functionReady", awaitsRestore: true },
  "guest.function_failed": functionFailed,
  "guest.snapshot_prepared": { type: "snapshotPrepared", warnings },
  "guest.response_head": responseHead,
  "guest.payload_chunk": payloadChunk,
  "guest.credit": credit,
  "guest.invoke_end": invokeEnd,
  "guest.invoke_refused": {
    type: "invokeRefused",
    id: 7,
    code: "FIRN_FUNCTION_EXITED",
    message: "The runtime process has exited.",
  },
  "guest.log": { type: "log", stream: "stdout", line: payload, level: "info", invocation: 7 },
  "guest.resumed": {
    type: "resumed",
    doorbellCount: 2,
    agentAbi: 2,
    runtimeName: "node24",
    runtimeVersion: "24.9.0",
  },
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
  "runtime_command.payload_chunk": encodeRuntimeCommand(payloadChunk),
  "runtime_command.credit": encodeRuntimeCommand(credit),
  "runtime_command.set_environment": encodeRuntimeCommand({
    type: "setEnvironment",
    environment: { SECRET: "s3cret" },
  }),
  "runtime_report.runtime_ready": encodeRuntimeReport({ type: "runtimeReady" }),
  "runtime_report.function_ready": encodeRuntimeReport({ type: "functionReady", awaitsRestore: true }),
  "runtime_report.function_failed": encodeRuntimeReport(functionFailed),
  "runtime_report.quiesced": encodeRuntimeReport({ type: "quiesced", warnings }),
  "runtime_report.resumed": encodeRuntimeReport({ type: "resumed" }),
  "runtime_report.response_head": encodeRuntimeReport(responseHead),
  "runtime_report.payload_chunk": encodeRuntimeReport(payloadChunk),
  "runtime_report.credit": encodeRuntimeReport(credit),
  "runtime_report.invoke_end": encodeRuntimeReport(invokeEnd),
  runtime_resume: encodeRuntimeResume({ entropy, environment: { SECRET: "s3cret" } }),
  runtime_log: encodeRuntimeLog({ stream: "stderr", text: payload, level: "warn", invocation: 7 }),
};

const golden = new Map(
  readFileSync(new URL("../test/golden.hex", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(" ") as [string, string]),
);

// The wire format is an ABI: snapshots hold agents that were built long ago. A line of the file changes only with the
// number of the ABI.
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
