import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "./errors.ts";
import { FRAME_PREFIX_BYTES, frame, MAX_MESSAGE_BYTES } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Cuts at positions given as fractions of the length. */
function cut(bytes: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const positions = fractions.map((fraction) => Math.floor(fraction * bytes.length)).sort((a, b) => a - b);
  return [0, ...positions].map((start, index) => bytes.slice(start, positions[index] ?? bytes.length));
}

/** Bytes of objects that are reachable. */
function heapInUse(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

const fraction = fc.double({ min: 0, max: 1, noNaN: true });

describe("FrameDecoder", () => {
  it("push() returns the framed messages when the stream is cut anywhere", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.array(fraction), (messages, fractions) => {
        const decoder = new FrameDecoder();
        const decoded = cut(concatenate(messages.map(frame)), fractions).flatMap((chunk) =>
          decoder.push(chunk),
        );
        expect(decoded.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
        expect(decoder.pendingBytes).toBe(0);
        decoder.end();
      }),
    );
  });

  it("push() never throws anything but ProtocolError when the bytes are arbitrary", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
        const decoder = new FrameDecoder();
        try {
          for (const chunk of chunks) decoder.push(chunk);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          expect(() => decoder.push(new Uint8Array(1))).toThrow(ProtocolError);
        }
      }),
    );
  });

  it("push() throws FIRN_PROTOCOL when a frame is one byte longer than allowed", () => {
    const prefix = new Uint8Array(FRAME_PREFIX_BYTES);
    new DataView(prefix.buffer).setUint32(0, MAX_MESSAGE_BYTES, true);
    expect(new FrameDecoder().push(prefix)).toEqual([]);
    new DataView(prefix.buffer).setUint32(0, MAX_MESSAGE_BYTES + 1, true);
    expect(() => new FrameDecoder().push(prefix)).toThrow(expect.objectContaining({ code: "FIRN_PROTOCOL" }));
  });

  it("push() takes a message of 16 MiB when it arrives in small chunks", () => {
    const message = new Uint8Array(MAX_MESSAGE_BYTES).fill(7);
    const framed = frame(message);
    const decoder = new FrameDecoder();
    const decoded: Uint8Array[] = [];
    for (let offset = 0; offset < framed.length; offset += 65_536) {
      decoded.push(...decoder.push(framed.subarray(offset, offset + 65_536)));
    }
    expect(decoded).toHaveLength(1);
    expect(Buffer.compare(decoded[0] as Uint8Array, message)).toBe(0);
  });

  it("push() keeps little more than what has arrived when that comes byte by byte", () => {
    const framed = frame(new Uint8Array(1 << 18).fill(7));
    const decoder = new FrameDecoder();
    const before = heapInUse();
    const decoded: Uint8Array[] = [];
    for (const byte of framed.subarray(0, -1)) decoded.push(...decoder.push(Uint8Array.of(byte)));
    // An object for each byte takes two hundred times as much.
    expect(heapInUse() - before).toBeLessThan(16 << 20);
    expect(decoder.pendingBytes).toBe(framed.length - 1);
    decoded.push(...decoder.push(framed.subarray(-1)));
    expect(decoded.map((message) => message.length)).toEqual([1 << 18]);
    expect(decoded[0]?.every((byte) => byte === 7)).toBe(true);
  });

  it("end() throws FIRN_PROTOCOL when the stream ends inside a frame", () => {
    const decoder = new FrameDecoder();
    decoder.push(Uint8Array.of(5, 0, 0, 0, 1));
    expect(() => decoder.end()).toThrow(expect.objectContaining({ code: "FIRN_PROTOCOL" }));
  });
});

describe("frame", () => {
  it("frame() throws FIRN_PROTOCOL when the message is too long", () => {
    expect(() => frame(new Uint8Array(MAX_MESSAGE_BYTES + 1))).toThrow(ProtocolError);
  });
});
