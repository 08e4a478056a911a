import { type WaitLimits, withDeadline } from "./deadline.ts";
import { FirnVmmError } from "./errors.ts";

/** The guest rang: all its vCPUs are stopped, at exactly the instruction that rang. */
export interface DoorbellEvent {
  /** What the guest has to say. */
  event: "booted" | "base-ready" | "warm" | "failed";
  /** A number that goes with it. */
  detail: number;
}

const NAMES: ReadonlyMap<number, DoorbellEvent["event"]> = new Map([
  [1, "booted"],
  [2, "base-ready"],
  [3, "warm"],
  [4, "failed"],
]);

/** A microVM stands still after it rang, so more than one untaken ring means that it is resumed and nobody wants to know why it rang. */
const MAX_UNTAKEN = 16;

type Outcome = DoorbellEvent | FirnVmmError;

/** The rings of one microVM, each taken once, in their order. */
export class Doorbell {
  readonly #untaken: Outcome[] = [];
  readonly #waiting: PromiseWithResolvers<DoorbellEvent>[] = [];
  #ended: FirnVmmError | undefined;

  /** The guest stored these numbers. */
  ring(event: number, detail: number): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined && this.#untaken.length >= MAX_UNTAKEN) return;
    const outcome = outcomeOf(event, detail);
    if (waiting !== undefined) settle(waiting, outcome);
    else this.#untaken.push(outcome);
  }

  /** There will be no more rings. Those that came before can still be taken. */
  end(reason: FirnVmmError): void {
    this.#ended = reason;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
  }

  /** The next ring, or one that came before and was not taken. */
  async next(limits: WaitLimits): Promise<DoorbellEvent> {
    const waiting = Promise.withResolvers<DoorbellEvent>();
    const start = () => {
      const untaken = this.#untaken.shift();
      if (untaken !== undefined) settle(waiting, untaken);
      else if (this.#ended !== undefined) waiting.reject(this.#ended);
      else this.#waiting.push(waiting);
      return waiting.promise;
    };
    return withDeadline("Waiting for the guest to ring the doorbell", limits, start, (error) => {
      const index = this.#waiting.indexOf(waiting);
      if (index >= 0) this.#waiting.splice(index, 1);
      waiting.reject(error);
    });
  }
}

function outcomeOf(event: number, detail: number): Outcome {
  const name = NAMES.get(event);
  if (name !== undefined) return { event: name, detail };
  return new FirnVmmError("FIRN_GUEST", `The guest rang the doorbell with the unknown event ${event}.`);
}

function settle(waiting: PromiseWithResolvers<DoorbellEvent>, outcome: Outcome): void {
  if (outcome instanceof FirnVmmError) waiting.reject(outcome);
  else waiting.resolve(outcome);
}
