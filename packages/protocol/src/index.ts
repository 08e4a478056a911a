export {
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
export { ProtocolError } from "./errors.ts";
export { FRAME_PREFIX_BYTES, frame, MAX_MESSAGE_BYTES } from "./frame.ts";
export { FrameDecoder } from "./frame-decoder.ts";
export type {
  AgentHello,
  CancelInvoke,
  FunctionFailed,
  GuestMessage,
  Header,
  HostMessage,
  Invoke,
  InvokeResult,
  LoadFunction,
  LogLine,
  Resumed,
  ResumeRecord,
  RuntimeCommand,
  RuntimeReady,
  RuntimeReport,
  RuntimeResume,
  SnapshotGo,
} from "./messages.ts";
export { PROTOCOL_VERSION } from "./messages.ts";
export { createResumeRecord, ENTROPY_BYTES, GENERATION_BYTES } from "./resume-record.ts";
