import { SetupError } from "./errors.ts";

/** Runs a command of setup: its errors go to the terminal as sentences, its number is the exit status. */
export async function main(command: (argv: string[]) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await command(process.argv.slice(2));
  } catch (error) {
    process.exitCode = 1;
    console.error(error instanceof SetupError ? `\n✗ ${error.message} [${error.code}]` : error);
    for (let cause = (error as Error).cause; cause instanceof Error; cause = cause.cause) {
      console.error(`  because: ${cause.message}`);
    }
  }
}
