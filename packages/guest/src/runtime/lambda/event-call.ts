import type { HandlerCallback, HandlerContext } from "../../context.ts";
import { logText } from "../errors/log.ts";
import type { EventHandler } from "../handler.ts";
import type { EventLoop } from "./event-loop.ts";

/** From this many parameters on a handler answers by its callback, and what it returns is nothing, unless it is a promise. */
const CALLBACK_PARAMETERS = 3;

/**
 * One call of a handler of events. It ends by the promise or the value that the handler returns, by its callback, by `context.done`
 * and its kin, or, if it returned nothing, when nothing of the function is left to happen.
 */
export class EventCall {
  readonly #eventLoop: EventLoop;
  readonly #requestId: string;
  readonly #settled = Promise.withResolvers<unknown>();
  readonly #closed = new AbortController();
  #called: { readonly error: unknown; readonly result: unknown } | undefined;
  /** Whether the end of all things is waited for, and may be the answer. */
  #isWaiting = false;
  #parameters = 0;
  /** Says what may be the reason if the time is up. */
  lateHint: () => string | undefined = () => undefined;

  constructor(eventLoop: EventLoop, requestId: string) {
    this.#eventLoop = eventLoop;
    this.#requestId = requestId;
    this.#settled.promise.catch(() => {});
  }

  /** Calls the handler; resolves with its result, or rejects with what it threw. */
  start(handle: EventHandler, parameters: number, event: unknown, context: HandlerContext): Promise<unknown> {
    this.#parameters = parameters;
    const callback: HandlerCallback = (error, result) => {
      if (!this.#note(error, result)) return;
      if (context.callbackWaitsForEmptyEventLoop) this.#answerWhenEmpty();
      else this.#answer();
    };
    try {
      const returned = handle(event, context, callback);
      if (isThenable(returned)) {
        returned.then(
          (value) => (this.#called === undefined ? this.#succeed(value) : this.#answer()),
          (error) => this.#fail(error),
        );
      } else if (returned === undefined || parameters >= CALLBACK_PARAMETERS) {
        this.#answerWhenEmpty();
      } else {
        this.#succeed(returned);
      }
    } catch (error) {
      this.#fail(error);
    }
    return this.#settled.promise;
  }

  /** Ends the invocation at once: what `context.done` does. */
  readonly done: HandlerCallback = (error, result) => {
    if (this.#note(error, result)) this.#answer();
  };

  /**
   * The time is up.
   *
   * @returns Whether there is a result all the same: of a callback that was called, or of a handler that returned nothing, which only
   * waited for other things to end.
   */
  expire(): boolean {
    const hint = this.lateHint();
    if (hint !== undefined) logText(`Request ${this.#requestId} timed out. ${hint}`);
    const answersLate =
      this.#isWaiting && (this.#called !== undefined || this.#parameters < CALLBACK_PARAMETERS);
    if (!answersLate || this.#closed.signal.aborted) return false;
    logText(
      `Request ${this.#requestId} was answered at its deadline: something, a timer or a connection, was left to happen until then. ` +
        "Set context.callbackWaitsForEmptyEventLoop = false and call the callback, or make the handler async, to answer at once.",
    );
    this.#answer();
    return true;
  }

  /** Nothing that happens from here on changes the result. */
  close(): void {
    this.#closed.abort();
  }

  #answerWhenEmpty(): void {
    if (this.#isWaiting || this.#closed.signal.aborted) return;
    this.#isWaiting = true;
    void this.#eventLoop.whenEmpty(this.#closed.signal).then(() => this.#answer());
  }

  #note(error: unknown, result: unknown): boolean {
    if (this.#called !== undefined) return false;
    if (this.#closed.signal.aborted) {
      logText(
        `A callback was called when request ${this.#requestId} had its answer, and has no effect. A handler that answers by callback ` +
          "returns nothing and is no async function.",
      );
      return false;
    }
    this.#called = { error, result };
    return true;
  }

  #answer(): void {
    const { error, result } = this.#called ?? {};
    if (error === undefined || error === null) this.#succeed(result);
    else this.#fail(error);
  }

  #succeed(result: unknown): void {
    this.close();
    this.#settled.resolve(result);
  }

  #fail(error: unknown): void {
    this.close();
    this.#settled.reject(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function"
  );
}
