import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["**/*.test.ts", "../guest-images/{builder,kernel,runtimes}/**/*.test.ts"] },
});
