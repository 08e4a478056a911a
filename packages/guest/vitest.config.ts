import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["firn-source"] },
  ssr: { resolve: { conditions: ["firn-source"] } },
  // Each test starts a process of its own, perhaps on a busy machine.
  test: { testTimeout: 30_000, expect: { poll: { timeout: 15_000 } } },
});
