import { EventStreamCodec } from "@smithy/core/event-streams";
import { expect, it } from "vitest";
import { completionFrame, payloadFrame } from "./event-stream.ts";

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString(),
  (text) => Buffer.from(text),
);
const read = (frame: Uint8Array) => {
  const { headers, body } = codec.decode(frame);
  const text = Object.entries(headers).map(([name, { value }]) => [name, value]);
  return { ...Object.fromEntries(text), body: Buffer.from(body).toString() };
};

it("frames say what they are", () => {
  expect(read(payloadFrame(Buffer.from("piece")))).toEqual({
    ":message-type": "event",
    ":event-type": "PayloadChunk",
    ":content-type": "application/octet-stream",
    body: "piece",
  });
  expect(read(completionFrame({ ErrorCode: "Unhandled", ErrorDetails: "{}" }))).toEqual({
    ":message-type": "event",
    ":event-type": "InvokeComplete",
    ":content-type": "application/json",
    body: '{"ErrorCode":"Unhandled","ErrorDetails":"{}"}',
  });
});
