import type { NativeDeviceLimits, NativeNetOptions, NativeRateLimit } from "./binding.ts";
import { FirnVmmError } from "./errors.ts";
import { requireWhole } from "./whole-number.ts";

/** A token bucket: it holds at most `burst` tokens, starts full, and gets `perSecond` new ones each second. */
export interface TokenBucket {
  /** A whole number from 1. */
  perSecond: number;
  /** What can be used at once, a whole number from 1; `perSecond` by default. */
  burst?: number | undefined;
}

/** Most that a device may do. What is held back goes on when it may; nothing is lost. */
export interface RateLimit {
  /** Bytes moved. */
  bytes?: TokenBucket | undefined;
  /** Requests of a disk, frames of the network card. */
  operations?: TokenBucket | undefined;
}

/** The limits of a microVM's devices. They belong to a start and not to a snapshot: a restore brings its own. */
export interface DeviceLimits {
  rootDisk?: RateLimit | undefined;
  appDisk?: RateLimit | undefined;
  scratchDisk?: RateLimit | undefined;
  /** Frames to the guest. */
  netReceive?: RateLimit | undefined;
  /** Frames of the guest. */
  netTransmit?: RateLimit | undefined;
  /** Random bytes; 1 MiB a second by default. */
  rng?: RateLimit | undefined;
}

/** What the network card is plugged into: a socket, a tap, or nothing, in which case its link is down. */
export interface NetLink {
  /** A Unix stream socket on which somebody listens who speaks frames behind their length in four bytes, as passt does. */
  socketPath?: string | undefined;
  /** Name of a tap interface that this process may open. */
  tapName?: string | undefined;
}

/** The network card of a microVM that boots. */
export interface NetOptions extends NetLink {
  /** `02:00:00:00:00:01`; a random one by default. It is the same in all clones of a snapshot. */
  mac?: string | undefined;
}

/** The options as the addon takes them; nothing for those that were not given. */
export function nativeDeviceOptions(options: {
  scratchDiskPath?: string | undefined;
  net?: NetOptions | undefined;
  limits?: DeviceLimits | undefined;
}): { scratchDiskPath?: string; net?: NativeNetOptions; limits?: NativeDeviceLimits } {
  const { scratchDiskPath, net, limits } = options;
  return {
    ...(scratchDiskPath === undefined ? {} : { scratchDiskPath }),
    ...(net === undefined ? {} : { net: nativeNet(net) }),
    ...(limits === undefined ? {} : { limits: nativeLimits(limits) }),
  };
}

function nativeNet({ socketPath, tapName, mac }: NetOptions): NativeNetOptions {
  return {
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(tapName === undefined ? {} : { tapName }),
    ...(mac === undefined ? {} : { mac: parseMac(mac) }),
  };
}

function parseMac(text: string): Uint8Array {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return Buffer.from(text.replaceAll(":", ""), "hex");
  const message = `${JSON.stringify(text)} is not a MAC address: expected six bytes like "02:00:00:00:00:01".`;
  throw new FirnVmmError("FIRN_VMM_OPTIONS", message);
}

const DEVICES = ["rootDisk", "appDisk", "scratchDisk", "netReceive", "netTransmit", "rng"] as const;

function nativeLimits(limits: DeviceLimits): NativeDeviceLimits {
  const native: NativeDeviceLimits = {};
  for (const device of DEVICES) {
    const limit = limits[device];
    if (limit !== undefined) native[device] = nativeLimit(device, limit);
  }
  return native;
}

function nativeLimit(device: string, limit: RateLimit): NativeRateLimit {
  const native: NativeRateLimit = {};
  for (const what of ["bytes", "operations"] as const) {
    const bucket = limit[what];
    if (bucket === undefined) continue;
    const { perSecond, burst = perSecond } = bucket;
    requireWhole(`limits.${device}.${what}.perSecond`, perSecond, 1);
    requireWhole(`limits.${device}.${what}.burst`, burst, 1);
    native[what] = { perSecond, burst };
  }
  return native;
}
