/**
 * Runs a step of setup and prints one line about it: its name and time, and whether there was nothing to do, where the result
 * says so by `cached`.
 */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const terminal = process.stderr.isTTY === true;
  if (terminal) process.stderr.write(`… ${name}`);
  const say = (text: string) => process.stderr.write(`${terminal ? "\r\x1b[K" : ""}${text}\n`);
  try {
    const result = await work();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`✓ ${name} (${isCached(result) ? "cached, " : ""}${seconds} s)`);
    return result;
  } catch (cause) {
    say(`✗ ${name}`);
    throw cause;
  }
}

function isCached(result: unknown): boolean {
  return typeof result === "object" && result !== null && "cached" in result && result.cached === true;
}
