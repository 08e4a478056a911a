import type { Verdict } from "./judge-vmm.ts";

/** What one kind of start has cost: the middle of several. */
export interface StartCost {
  /** From the receipt of the request until the answer. */
  readonly milliseconds: number;
  /** Page faults of the VMM process. */
  readonly faults: number;
  readonly kvmExits: number;
  /** Copied or made private before the guest's first instruction. */
  readonly bytesCopied: number;
  readonly privateBytes: number;
}

/** One function, with its samples or without. */
export interface FunctionReport {
  readonly name: string;
  readonly samples: boolean;
  /** Bytes of its diff's memory layer. */
  readonly diffBytes: number;
  /** The first cold start of all. */
  readonly first: StartCost;
  /** Later ones; without samples, after those that have taught its working set. */
  readonly cold: StartCost;
  readonly warm: StartCost;
}

const BARS = { samples: 3, none: 5 };
const STARTS = ["first", "cold", "warm"] as const;

/** Judges cold starts against warm ones by the bars of the design. */
export function judgeFunctions(reports: readonly FunctionReport[]): Verdict[] {
  return reports.map(({ name, samples, cold, warm }) => {
    const bar = samples ? BARS.samples : BARS.none;
    const measured = cold.milliseconds / warm.milliseconds;
    const what = samples ? "with samples" : "without, after ten cold starts";
    return {
      promise: `cold invoke of ${name} against a warm one, ${what}`,
      bar,
      measured,
      unit: "times",
      held: measured <= bar,
      from: `${cold.milliseconds.toFixed(1)} ms, ${warm.milliseconds.toFixed(1)} ms`,
    };
  });
}

/** Rows for a terminal, three a function. */
export function functionTable(reports: readonly FunctionReport[]): { header: string[]; rows: string[][] } {
  const header = ["function", "samples", "start", "ms", "of warm", "faults", "KVM exits"];
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  const rows = reports.flatMap((report) =>
    STARTS.map((start) => {
      const { milliseconds, faults, kvmExits, bytesCopied, privateBytes } = report[start];
      return [
        ...[report.name, report.samples ? "yes" : "no", start === "first" ? "first cold" : start],
        ...[milliseconds.toFixed(1), (milliseconds / report.warm.milliseconds).toFixed(2)],
        ...[String(faults), String(kvmExits)],
        ...[bytesCopied, privateBytes, report.diffBytes].map(mebibytes),
      ];
    }),
  );
  return { header: [...header, "copied MiB", "private MiB", "diff MiB"], rows };
}
