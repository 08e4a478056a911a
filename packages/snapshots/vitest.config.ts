import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["firn-source"] },
  ssr: { resolve: { conditions: ["firn-source"] } },
  // Programs are started, on machines that are busy.
  test: { include: ["src/**/*.test.ts"], testTimeout: 60_000 },
});
