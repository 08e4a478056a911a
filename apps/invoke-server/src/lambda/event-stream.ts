import { EventStreamCodec } from "@smithy/core/event-streams";

/** The media type of AWS's event streams. */
export const EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream";

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** How a streamed invocation ended, as its last frame tells. */
export interface Completion {
  readonly ErrorCode?: string;
  readonly ErrorDetails?: string;
  /** End of the log, in base64. */
  readonly LogResult?: string;
}

/** A frame with a piece of the answer. */
export function payloadFrame(piece: Uint8Array): Uint8Array {
  return frame("PayloadChunk", "application/octet-stream", piece);
}

/** The last frame. */
export function completionFrame(completion: Completion): Uint8Array {
  return frame("InvokeComplete", "application/json", Buffer.from(JSON.stringify(completion)));
}

function frame(event: string, contentType: string, body: Uint8Array): Uint8Array {
  const text = (value: string) => ({ type: "string" as const, value });
  const headers = {
    ":message-type": text("event"),
    ":event-type": text(event),
    ":content-type": text(contentType),
  };
  return codec.encode({ headers, body });
}
