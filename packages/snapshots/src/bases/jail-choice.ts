import { type JailOptions, type JailReport, probeJail } from "@firn/vmm";

/** The jail of all VMM processes of a host. Its level is found out once: what the host lacks later is an error, and no lower level. */
export class JailChoice {
  readonly #wanted: JailOptions;
  #report: Promise<JailReport> | undefined;

  constructor(wanted: JailOptions = {}) {
    this.#wanted = wanted;
  }

  /** What processes get. @throws {FirnVmmError} What `probeJail` throws; the next call tries again. */
  report(): Promise<JailReport> {
    this.#report ??= probeJail(this.#wanted).catch((error: unknown) => {
      this.#report = undefined;
      throw error;
    });
    return this.#report;
  }

  /** What to start processes with: a level that is named. @throws {FirnVmmError} As `report`. */
  async options(): Promise<JailOptions> {
    const { level = "auto" } = this.#wanted;
    return level === "auto" ? { ...this.#wanted, level: (await this.report()).level } : this.#wanted;
  }
}
