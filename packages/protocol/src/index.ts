export {
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
export { ProtocolError } from "./errors.ts";
export { FRAME_PREFIX_BYTES, frame, MAX_MESSAGE_BYTES } from "./frame.ts";
export { FrameDecoder } from "./frame-decoder.ts";
export type {
  AgentHello,
  CancelInvoke,
  Credit,
  FunctionFailed,
  GuestMessage,
  Header,
  HostMessage,
  Invoke,
  InvokeEnd,
  InvokeRefused,
  InvokeResult,
  LoadFunction,
  LogLine,
  PayloadChunk,
  ResponseHead,
  Resumed,
  ResumeRecord,
  RuntimeCommand,
  RuntimeLog,
  RuntimeReport,
  RuntimeResume,
  SetEnvironment,
  SnapshotGo,
  SnapshotPrepared,
  Warning,
} from "./messages.ts";
export { AGENT_ABI, INITIAL_CREDIT_BYTES, MAX_CHUNK_BYTES } from "./messages.ts";
export { createResumeRecord, ENTROPY_BYTES, GENERATION_BYTES } from "./resume-record.ts";
