import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["firn-source"] },
  ssr: { resolve: { conditions: ["firn-source"] } },
});
