import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["firn-source"] },
  ssr: { resolve: { conditions: ["firn-source"] } },
  test: {
    include: ["src/**/*.test.ts", "test/host/**/*.test.ts"],
    globalSetup: ["test/build-host-addon.ts"],
    pool: "forks",
    // Processes and threads are started, on machines that are busy.
    testTimeout: 60_000,
  },
});
