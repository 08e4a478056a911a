import type { VmmEvent } from "./binding.ts";
import { Doorbell } from "./doorbell.ts";
import { errorOfExit, exitOf, type MicrovmExit } from "./exit.ts";

/** Receives what one VMM process reports; it may report before its microVM is known here. */
export class ProcessEvents {
  readonly doorbell: Doorbell = new Doorbell();
  /** Never rejects. */
  readonly exited: Promise<MicrovmExit>;
  readonly #exit = Promise.withResolvers<MicrovmExit>();

  constructor() {
    this.exited = this.#exit.promise;
  }

  readonly handle = (event: VmmEvent): void => {
    if (event.kind === "doorbell") {
      this.doorbell.ring(event.event ?? 0, event.detail ?? 0);
      return;
    }
    const exit = exitOf(event);
    this.doorbell.end(errorOfExit(exit));
    this.#exit.resolve(exit);
  };
}
