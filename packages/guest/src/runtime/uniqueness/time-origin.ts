/** How far the sum may be from the wall clock, in milliseconds: clocks are read one after the other, and Date.now() is cut. */
const TOLERANCE_MS = 20;

/**
 * Makes `performance.timeOrigin + performance.now()` the time, as tracing libraries take it for: `now()` stands still while a snapshot
 * lies on a shelf or a microVM is paused, so it is the origin that moves.
 */
export function keepTimeOrigin(): void {
  const prototype = Object.getPrototypeOf(performance) as { toJSON(): object };
  const descriptor = Object.getOwnPropertyDescriptor(prototype, "timeOrigin");
  const original = descriptor?.get;
  if (original === undefined) return;
  const { toJSON } = prototype;
  const wallClock = Date.now;
  const elapsed = performance.now.bind(performance);
  let origin = performance.timeOrigin;
  const follow = (): number => {
    const behind = wallClock() - (origin + elapsed());
    if (Math.abs(behind) > TOLERANCE_MS) origin += behind;
    return origin;
  };
  Object.defineProperty(prototype, "timeOrigin", {
    ...descriptor,
    get(this: unknown): number {
      // Anything but a Performance object is the original's to refuse.
      original.call(this);
      return follow();
    },
  });
  prototype.toJSON = function (this: object): object {
    return { ...toJSON.call(this as { toJSON(): object }), timeOrigin: follow() };
  };
}
