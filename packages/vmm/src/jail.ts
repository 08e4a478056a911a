/**
 * How much of the host a VMM process can still reach, from the least to the most. At every level it has no path to open, no network,
 * no privilege, and only the system calls that it needs.
 *
 * | level | what |
 * |---|---|
 * | `root` | for a program that root runs: a user of its own, namespaces of its own, an empty root file system |
 * | `user-namespaces` | the same by an unprivileged user namespace, without a user of its own |
 * | `minimal` | no namespaces: Landlock, seccomp, no_new_privs and resource limits alone |
 */
export type JailLevel = "root" | "user-namespaces" | "minimal";

/**
 * The jail that a VMM process is to enter before it looks at anything from outside. What is asked for and cannot be had on this host, a
 * level or a limit, is a FIRN_JAIL_UNAVAILABLE error of the start.
 */
export interface JailOptions {
  /** `auto`, the default, is the first that the host can give; the report says why not those before. */
  level?: "auto" | JailLevel | undefined;
  /**
   * User and group ids that a program of root gives its processes, each its own; 65,536 from 2,000,000,000 on by default. Nothing else
   * on the host may have them.
   */
  ids?: { first: number; count: number } | undefined;
  /**
   * Directory of the cgroup (v2) below which each process gets one of its own; this program's by default. That must have no processes
   * itself to hand limits on, unless it is the root.
   */
  cgroupParent?: string | undefined;
  /**
   * Most memory of the process in bytes, the guest's and the page cache that it is the first to need included. What does not fit ends the
   * microVM. By default the guest's memory and 64 MiB, where the host has cgroups.
   */
  memoryMaxBytes?: number | undefined;
  /** Most threads; 64 by default, where the host can limit them. A microVM has one more than vCPUs. */
  pidsMax?: number | undefined;
  /** Most CPUs that it may keep busy, in steps of 0.001; no limit by default. */
  cpusMax?: number | undefined;
}

/** The jail that a VMM process is in. */
export interface JailReport {
  level: JailLevel;
  /** The user that the host knows the process as. */
  uid: number;
  /** The group that the host knows the process as. */
  gid: number;
  /** The version of Landlock that is in force; 0 if the kernel has none. */
  landlock: number;
  /** Which limits its cgroup sets; absent if it has none. */
  cgroup?: { memory: boolean; pids: boolean; cpu: boolean };
  /** What this host cannot give, a sentence each: higher levels, limits, parts of the level. */
  missing: string[];
  /** How long it took to enter, in microseconds. */
  microseconds: number;
}
