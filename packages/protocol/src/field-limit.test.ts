import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeGuestMessage,
  decodeHostMessage,
  decodeRuntimeCommand,
  decodeRuntimeReport,
  encodeGuestMessage,
} from "./codec.ts";
import { ProtocolError } from "./errors.ts";
import { assertFewFields, MAX_FIELDS } from "./field-limit.ts";

const decoders = [decodeGuestMessage, decodeHostMessage, decodeRuntimeCommand, decodeRuntimeReport];

/** A field that holds these bytes, as it is on the wire. */
function field(number: number, contents: Uint8Array): Uint8Array {
  const prefix = [(number << 3) | 2];
  let length = contents.length;
  for (; length >= 0x80; length >>>= 7) prefix.push((length & 0x7f) | 0x80);
  return Buffer.concat([Uint8Array.of(...prefix, length), contents]);
}

describe("assertFewFields", () => {
  it("assertFewFields() takes the headers of any real answer", () => {
    const headers = Array.from({ length: 2000 }, (_, index) => ({ name: `x-${index}`, value: "" }));
    const payload = new Uint8Array(1000);
    const message = {
      type: "responseHead",
      id: 1,
      status: 200,
      headers,
      payload,
    } as const;
    expect(decodeGuestMessage(encodeGuestMessage(message))).toMatchObject({ headers });
  });

  it("assertFewFields() throws FIRN_PROTOCOL before a message of millions of empty entries is decoded", () => {
    // Two bytes an entry: field 3, the headers of a result, of no length.
    const entries = new Uint8Array(4 << 20).map((_, index) => (index % 2 === 0 ? 0x1a : 0));
    for (const decode of decoders) {
      for (let number = 1; number < 16; number += 1) {
        const forged = field(number, entries);
        const before = process.memoryUsage().heapUsed;
        expect(() => decode(forged)).toThrow(ProtocolError);
        expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 << 20);
      }
    }
    const envelopes = new Uint8Array(1 << 20).map((_, index) => (index % 2 === 0 ? 0x1a : 0));
    expect(() => decodeGuestMessage(envelopes)).toThrow(`${MAX_FIELDS} fields`);
  });

  it("assertFewFields() leaves bytes that are no message to the decoder, which throws ProtocolError", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(fc.nat(15), fc.uint8Array({ maxLength: 30 })).map(([number, bytes]) => field(number, bytes)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.nat(15), (pieces, number) => {
        for (const bytes of [Buffer.concat(pieces), field(number, Buffer.concat(pieces))]) {
          assertFewFields(bytes);
          for (const decode of decoders) {
            try {
              decode(bytes);
            } catch (error) {
              expect(error).toBeInstanceOf(ProtocolError);
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
