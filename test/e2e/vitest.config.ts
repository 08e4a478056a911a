import { defineConfig } from "vitest/config";

const MINUTE_MS = 60_000;

// One server for all files, one file after the other: what is measured must not be disturbed. The deadlines are for an emulated
// host on a busy machine.
export default defineConfig({
  resolve: { conditions: ["firn-source"] },
  ssr: { resolve: { conditions: ["firn-source"] } },
  test: {
    // What `npm run soak` runs beside the tests.
    include: ["src/**/*.test.ts", ...(process.env.FIRN_SOAK === "1" ? ["src/**/*.soak.ts"] : [])],
    globalSetup: "src/global-setup.ts",
    pool: "forks",
    fileParallelism: false,
    testTimeout: 10 * MINUTE_MS,
    hookTimeout: 20 * MINUTE_MS,
    teardownTimeout: MINUTE_MS,
  },
});
