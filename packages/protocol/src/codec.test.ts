import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeGuestMessage,
  decodeHostMessage,
  decodeRuntimeCommand,
  decodeRuntimeLog,
  decodeRuntimeReport,
  decodeRuntimeResume,
  encodeGuestMessage,
  encodeHostMessage,
  encodeRuntimeCommand,
  encodeRuntimeLog,
  encodeRuntimeReport,
  encodeRuntimeResume,
} from "./codec.ts";
import { ProtocolError } from "./errors.ts";
import type { GuestMessage, HostMessage, RuntimeCommand, RuntimeReport } from "./messages.ts";

const uint32 = fc.nat(0xffff_ffff);
const text = fc.string({ unit: "grapheme" });
const bytes = fc.uint8Array({ maxLength: 200 });
const headers = fc.array(fc.record({ name: text, value: text }));
const environment = fc
  .dictionary(fc.stringMatching(/^[A-Z_]{1,9}$/), text)
  .map((entries): Record<string, string> => ({ ...entries }));

const invoke = fc.record({
  type: fc.constant("invoke" as const),
  id: uint32,
  requestId: text,
  timeoutMs: uint32,
  kind: fc.constantFrom("event" as const, "http" as const),
  payload: bytes,
  method: text,
  url: text,
  headers,
  more: fc.boolean(),
  traceId: text,
  clientContext: text,
  functionVersion: text,
  functionArn: text,
  rehearsal: fc.boolean(),
});
const payloadChunk = fc.record({
  type: fc.constant("payloadChunk" as const),
  id: uint32,
  data: bytes,
  last: fc.boolean(),
});
const credit = fc.record({ type: fc.constant("credit" as const), id: uint32, bytes: uint32 });
const cancelInvoke = fc.record({ type: fc.constant("cancelInvoke" as const), id: uint32 });
const warnings = fc.array(fc.record({ code: text, message: text }));
const loadFunction = fc.record({
  type: fc.constant("loadFunction" as const),
  entry: text,
  handler: text,
  environment,
  readyTimeoutMs: uint32,
  functionName: text,
  memoryMib: uint32,
  command: fc.array(text),
  port: uint32,
});
const responseHead = fc.record({
  type: fc.constant("responseHead" as const),
  id: uint32,
  status: uint32,
  headers,
  payload: bytes,
  streams: fc.boolean(),
});
const invokeEnd = fc.record({
  type: fc.constant("invokeEnd" as const),
  id: uint32,
  functionError: text,
  errorType: text,
  errorMessage: text,
  durationUs: uint32,
  memoryPeakKib: uint32,
  initUs: uint32,
  restoreUs: uint32,
});
const functionFailed = fc.record({
  type: fc.constant("functionFailed" as const),
  code: text,
  message: text,
  stack: text,
});
const hostMessage: fc.Arbitrary<HostMessage> = fc.oneof(
  invoke,
  loadFunction,
  fc.record({
    type: fc.constant("resume" as const),
    generation: bytes,
    entropy: bytes,
    clockSeconds: uint32,
    clockNanoseconds: uint32,
    environment,
  }),
  fc.record({ type: fc.constant("prepareSnapshot" as const) }),
  fc.record({ type: fc.constant("snapshotGo" as const), event: uint32 }),
  cancelInvoke,
  payloadChunk,
  credit,
);
const guestMessage: fc.Arbitrary<GuestMessage> = fc.oneof(
  responseHead,
  payloadChunk,
  credit,
  invokeEnd,
  functionFailed,
  fc.record({
    type: fc.constant("hello" as const),
    agentAbi: uint32,
    agentVersion: text,
    doorbellPresent: fc.boolean(),
    runtimeName: text,
    runtimeVersion: text,
  }),
  fc.record({ type: fc.constant("runtimeReady" as const) }),
  fc.record({ type: fc.constant("functionReady" as const), awaitsRestore: fc.boolean() }),
  fc.record({ type: fc.constant("snapshotPrepared" as const), warnings }),
  fc.record({ type: fc.constant("invokeRefused" as const), id: uint32, code: text, message: text }),
  fc.record({
    type: fc.constant("log" as const),
    stream: text,
    line: bytes,
    level: text,
    invocation: uint32,
  }),
  fc.record({
    type: fc.constant("resumed" as const),
    doorbellCount: uint32,
    agentAbi: uint32,
    runtimeName: text,
    runtimeVersion: text,
  }),
);
const runtimeCommand: fc.Arbitrary<RuntimeCommand> = fc.oneof(
  invoke,
  loadFunction,
  cancelInvoke,
  payloadChunk,
  credit,
  fc.record({ type: fc.constant("prepareSnapshot" as const) }),
  fc.record({ type: fc.constant("setEnvironment" as const), environment }),
);
const runtimeReport: fc.Arbitrary<RuntimeReport> = fc.oneof(
  responseHead,
  payloadChunk,
  credit,
  invokeEnd,
  functionFailed,
  fc.record({ type: fc.constant("quiesced" as const), warnings }),
  fc.record({ type: fc.constant("resumed" as const) }),
);
const runtimeLog = fc.record({ stream: text, text: bytes, level: text, invocation: uint32 });

/** Byte fields come back as views of the message's buffer: compare contents, not classes. */
function comparable(message: object): unknown {
  return JSON.parse(
    JSON.stringify(message, (_, value) => (value instanceof Uint8Array ? [...value] : value)),
    (_, value) => (value?.type === "Buffer" ? value.data : value),
  );
}

function roundTrips<Message extends object>(
  arbitrary: fc.Arbitrary<Message>,
  encode: (message: Message) => Uint8Array,
  decode: (bytes: Uint8Array) => Message,
): void {
  fc.assert(
    fc.property(arbitrary, (message) => {
      expect(comparable(decode(encode(message)))).toEqual(comparable(message));
    }),
  );
}

describe("codec", () => {
  it("decodeHostMessage() returns what encodeHostMessage() was given", () => {
    roundTrips(hostMessage, encodeHostMessage, decodeHostMessage);
  });
  it("decodeGuestMessage() returns what encodeGuestMessage() was given", () => {
    roundTrips(guestMessage, encodeGuestMessage, decodeGuestMessage);
  });
  it("decodeRuntimeCommand() returns what encodeRuntimeCommand() was given", () => {
    roundTrips(runtimeCommand, encodeRuntimeCommand, decodeRuntimeCommand);
  });
  it("decodeRuntimeReport() returns what encodeRuntimeReport() was given", () => {
    roundTrips(runtimeReport, encodeRuntimeReport, decodeRuntimeReport);
  });
  it("decodeRuntimeResume() returns what encodeRuntimeResume() was given", () => {
    roundTrips(fc.record({ entropy: bytes, environment }), encodeRuntimeResume, decodeRuntimeResume);
  });
  it("decodeRuntimeLog() returns what encodeRuntimeLog() was given", () => {
    roundTrips(runtimeLog, encodeRuntimeLog, decodeRuntimeLog);
  });

  it("no decoder throws anything but ProtocolError when the bytes are arbitrary, or a message that was damaged", () => {
    const decoders = [
      decodeGuestMessage,
      decodeHostMessage,
      decodeRuntimeCommand,
      decodeRuntimeReport,
      decodeRuntimeResume,
      decodeRuntimeLog,
    ];
    const damaged = fc
      .tuple(
        fc.oneof(guestMessage.map(encodeGuestMessage), hostMessage.map(encodeHostMessage)),
        uint32,
        uint32,
      )
      .map(([whole, at, byte]) => {
        const copy = Uint8Array.from(whole);
        if (copy.length > 0) copy[at % copy.length] = byte;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(bytes, damaged), (arbitrary) => {
        for (const decode of decoders) {
          try {
            decode(arbitrary);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("decodeGuestMessage() throws FIRN_PROTOCOL when the message is cut off", () => {
    const whole = encodeGuestMessage({ type: "invokeRefused", id: 1, code: "FIRN_AGENT", message: "" });
    expect(() => decodeGuestMessage(whole.subarray(0, -1))).toThrow(
      expect.objectContaining({ code: "FIRN_PROTOCOL" }),
    );
    expect(() => decodeGuestMessage(new Uint8Array())).toThrow(
      expect.objectContaining({ code: "FIRN_PROTOCOL" }),
    );
  });

  it("decodeHostMessage() throws FIRN_PROTOCOL when an invocation is of an unknown kind", () => {
    const forged = { ...(fc.sample(invoke, 1)[0] as object), kind: "queue" } as unknown as HostMessage;
    expect(() => decodeHostMessage(encodeHostMessage(forged))).toThrow(ProtocolError);
  });

  it("encodeHostMessage() throws FIRN_PROTOCOL when a number is no unsigned 32-bit integer", () => {
    for (const event of [-1, 1.5, 2 ** 32, Number.NaN]) {
      expect(() => encodeHostMessage({ type: "snapshotGo", event })).toThrow(ProtocolError);
    }
  });
});
