#!/usr/bin/env node
import { ConfigError, readConfig, usage } from "./config.ts";
import { startServer } from "./server.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

if (process.argv.slice(2).some((argument) => argument === "--help" || argument === "-h")) {
  process.stdout.write(usage());
  process.exit(0);
}
try {
  const server = await startServer(readConfig(process.argv.slice(2), process.env));
  let stopping = false;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // Whoever asks twice is not willing to wait.
      if (stopping) process.exit(1);
      stopping = true;
      server.stop().then(
        () => process.exit(0),
        (error: unknown) => fail(error),
      );
    });
  }
} catch (error) {
  fail(error);
}

function fail(error: unknown): never {
  const code = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`firn-invoke-server: ${message}${code === undefined ? "" : ` [${String(code)}]`}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}
