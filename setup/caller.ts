/** The directory in which npm was called: it runs scripts in the root of the repository. */
export function callerDirectory(): string {
  // biome-ignore lint/suspicious/noUndeclaredEnvVars: turbo does not run this.
  return process.env.INIT_CWD ?? process.cwd();
}
