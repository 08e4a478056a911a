/**
 * The codes of {@link FirnVmmError}. Those from the VMM itself are here too, so that callers can match on one list.
 *
 * | code | what |
 * |---|---|
 * | `FIRN_PLATFORM_UNSUPPORTED` | microVMs run on arm64 Linux only |
 * | `FIRN_VMM_BINARY_MISSING` | the platform package, or what an environment variable names, is not there |
 * | `FIRN_VMM_OPTIONS` | an option is out of its range, or names what cannot be used |
 * | `FIRN_VMM_SPAWN` | `firn-vmm` could not be started |
 * | `FIRN_VMM_CRASHED` | its process ended without saying why |
 * | `FIRN_VMM_CLOSED` | the microVM was closed before |
 * | `FIRN_VMM_STOPPED` | the guest has switched itself off or reset itself |
 * | `FIRN_POOL_CLOSED` | the pool was closed before |
 * | `FIRN_VMM_INTERNAL` | a defect of this package |
 * | `FIRN_TIMEOUT` | something took longer than its deadline |
 * | `FIRN_ABORTED` | the caller's AbortSignal |
 * | `FIRN_KVM_UNAVAILABLE` | /dev/kvm is missing, not accessible or too old |
 * | `FIRN_JAIL_UNAVAILABLE` | the host cannot give the jail that was asked for |
 * | `FIRN_KVM` | a KVM call failed |
 * | `FIRN_CONFIG` | the VMM refuses an option |
 * | `FIRN_KERNEL` | kernel, initrd or device tree cannot be loaded |
 * | `FIRN_MEMORY`, `FIRN_DEVICE` | guest memory or a device failed |
 * | `FIRN_SNAPSHOT_CORRUPT` | a layer or state file is not what it should be |
 * | `FIRN_SNAPSHOT_INCOMPATIBLE` | the snapshot is sound but not for this host or VMM |
 * | `FIRN_SNAPSHOT_REFUSED` | the guest is in a state in which it cannot be snapshotted |
 * | `FIRN_IO` | a file or socket failed |
 * | `FIRN_PROTOCOL` | the two ends of a control socket do not understand each other |
 * | `FIRN_GUEST` | the guest did something that ends its microVM |
 */
export type FirnVmmErrorCode = (typeof CODES)[number];

const CODES = [
  "FIRN_PLATFORM_UNSUPPORTED",
  "FIRN_VMM_BINARY_MISSING",
  "FIRN_VMM_OPTIONS",
  "FIRN_VMM_SPAWN",
  "FIRN_VMM_CRASHED",
  "FIRN_VMM_CLOSED",
  "FIRN_VMM_STOPPED",
  "FIRN_POOL_CLOSED",
  "FIRN_VMM_INTERNAL",
  "FIRN_TIMEOUT",
  "FIRN_ABORTED",
  "FIRN_KVM_UNAVAILABLE",
  "FIRN_JAIL_UNAVAILABLE",
  "FIRN_KVM",
  "FIRN_CONFIG",
  "FIRN_KERNEL",
  "FIRN_MEMORY",
  "FIRN_DEVICE",
  "FIRN_SNAPSHOT_CORRUPT",
  "FIRN_SNAPSHOT_INCOMPATIBLE",
  "FIRN_SNAPSHOT_REFUSED",
  "FIRN_IO",
  "FIRN_PROTOCOL",
  "FIRN_GUEST",
] as const;

/** Everything that this package throws. */
export class FirnVmmError extends Error {
  /** Stable; see {@link FirnVmmErrorCode}. */
  readonly code: FirnVmmErrorCode;

  constructor(code: FirnVmmErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FirnVmmError";
    this.code = code;
  }
}

const isCode = (text: string): text is FirnVmmErrorCode => (CODES as readonly string[]).includes(text);

/** The error that the native side wrote as `FIRN_CODE: sentence`; anything else becomes a `FIRN_VMM_INTERNAL` error. */
export function parseNativeError(text: string, cause?: unknown): FirnVmmError {
  const options = cause === undefined ? undefined : { cause };
  const [, code = "", sentence = ""] = /^(FIRN_[A-Z_]+): (.*)$/s.exec(text) ?? [];
  if (isCode(code)) return new FirnVmmError(code, sentence, options);
  return new FirnVmmError("FIRN_VMM_INTERNAL", text, options);
}

/** Any thrown value as a {@link FirnVmmError}. */
export function toFirnVmmError(thrown: unknown): FirnVmmError {
  if (thrown instanceof FirnVmmError) return thrown;
  // The native error's own stack is one frame deep and says less than the one made here.
  return parseNativeError(thrown instanceof Error ? thrown.message : String(thrown));
}
