/** Names of variables that were read while the function was imported, and were not there. */
const missing = new Set<string>();

/**
 * Does what imports a function, and notes which variables it looks for in vain: the environment comes with each start of a clone, and a
 * module that reads it once, at its top, would go without for ever.
 */
export async function noteEarlyReads<Result>(work: () => Promise<Result>): Promise<Result> {
  const environment = process.env;
  let importing = true;
  const watched = new Proxy(environment, {
    get(target, name, receiver): unknown {
      const value = Reflect.get(target, name, receiver);
      if (importing && value === undefined && typeof name === "string") missing.add(name);
      return value;
    },
  });
  process.env = watched;
  try {
    return await work();
  } finally {
    importing = false;
    // Unless the function has put another object in its place.
    if (process.env === watched) process.env = environment;
  }
}

/** Which of these variables the function looked for when it was imported, and did not find. */
export function missedAtImport(names: readonly string[]): string[] {
  return names.filter((name) => missing.has(name));
}
