import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeGuestMessage,
  decodeHostMessage,
  decodeRuntimeCommand,
  decodeRuntimeReport,
  decodeRuntimeResume,
  encodeGuestMessage,
  encodeHostMessage,
  encodeRuntimeCommand,
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
});
const loadFunction = fc.record({
  type: fc.constant("loadFunction" as const),
  entry: text,
  handler: text,
  environment,
  readyTimeoutMs: uint32,
  functionName: text,
  memoryMib: uint32,
});
const invokeResult = fc.record({
  type: fc.constant("invokeResult" as const),
  id: uint32,
  status: uint32,
  headers,
  payload: bytes,
  functionError: text,
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
  }),
  fc.record({ type: fc.constant("prepareSnapshot" as const) }),
  fc.record({ type: fc.constant("snapshotGo" as const), event: uint32 }),
  fc.record({ type: fc.constant("cancelInvoke" as const), id: uint32 }),
);
const guestMessage: fc.Arbitrary<GuestMessage> = fc.oneof(
  invokeResult,
  functionFailed,
  fc.record({
    type: fc.constant("hello" as const),
    protocolVersion: uint32,
    agentVersion: text,
    doorbellPresent: fc.boolean(),
  }),
  fc.record({ type: fc.constant("runtimeReady" as const), runtime: text }),
  fc.record({ type: fc.constant("functionReady" as const) }),
  fc.record({ type: fc.constant("snapshotPrepared" as const) }),
  fc.record({ type: fc.constant("log" as const), stream: text, line: bytes }),
  fc.record({ type: fc.constant("resumed" as const), doorbellCount: uint32 }),
);
const runtimeCommand: fc.Arbitrary<RuntimeCommand> = fc.oneof(
  invoke,
  loadFunction,
  fc.record({ type: fc.constant("prepareSnapshot" as const) }),
);
const runtimeReport: fc.Arbitrary<RuntimeReport> = fc.oneof(
  invokeResult,
  functionFailed,
  fc.record({ type: fc.constant("quiesced" as const) }),
  fc.record({ type: fc.constant("resumed" as const) }),
);

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
    roundTrips(fc.record({ entropy: bytes }), encodeRuntimeResume, decodeRuntimeResume);
  });

  it("decodeGuestMessage() throws nothing but ProtocolError when the bytes are arbitrary", () => {
    fc.assert(
      fc.property(bytes, (arbitrary) => {
        try {
          decodeGuestMessage(arbitrary);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("decodeGuestMessage() throws FIRN_PROTOCOL when the message is cut off", () => {
    const whole = encodeGuestMessage({ type: "runtimeReady", runtime: "node" });
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
