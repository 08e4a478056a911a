import { errorCode } from "@firn/snapshots";
import type { KvmStatus } from "./kvm-probe.ts";

/** How far the base that is made at the start has come. */
export type BaseStatus =
  | { readonly state: "none" | "preparing" | "ready" }
  | { readonly state: "failed"; readonly code: string; readonly message: string };

/** Whether this server can do its work. */
export class Readiness {
  draining = false;
  base: BaseStatus = { state: "none" };
  readonly #probe: () => Promise<KvmStatus>;

  constructor(probe: () => Promise<KvmStatus>) {
    this.#probe = probe;
  }

  /** Follows the making of a base. */
  async follow(base: Promise<unknown>): Promise<void> {
    this.base = { state: "preparing" };
    try {
      await base;
      this.base = { state: "ready" };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.base = { state: "failed", code: errorCode(error) ?? "FIRN_INTERNAL", message };
    }
  }

  /** The status now: KVM is looked at every time. */
  async status(): Promise<{
    status: "ready" | "starting" | "degraded" | "draining";
    kvm: KvmStatus;
    base: BaseStatus;
  }> {
    const kvm = await this.#probe();
    return { status: this.#summary(kvm), kvm, base: this.base };
  }

  #summary(kvm: KvmStatus) {
    if (this.draining) return "draining";
    if (!kvm.available || this.base.state === "failed") return "degraded";
    return this.base.state === "preparing" ? "starting" : "ready";
  }
}
