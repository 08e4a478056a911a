/** Runs a step of setup and prints one line about it: its name and time, or that there was nothing to do. */
export async function step<T extends { cached: boolean } | undefined>(
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const started = performance.now();
  const terminal = process.stderr.isTTY === true;
  if (terminal) process.stderr.write(`… ${name}`);
  const say = (text: string) => process.stderr.write(`${terminal ? "\r\x1b[K" : ""}${text}\n`);
  try {
    const result = await work();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`✓ ${name} (${result?.cached === true ? "cached, " : ""}${seconds} s)`);
    return result;
  } catch (cause) {
    say(`✗ ${name}`);
    throw cause;
  }
}
