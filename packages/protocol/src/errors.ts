/** Bytes or values that break the agent protocol. The stream they came from cannot be used any further. */
export class ProtocolError extends Error {
  /** Stable code of this error. */
  readonly code = "FIRN_PROTOCOL";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ProtocolError";
  }
}
