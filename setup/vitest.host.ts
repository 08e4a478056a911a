import { defineConfig } from "vitest/config";
import { repository } from "./machine.ts";

// Every test that needs no ARM host. Each project has a configuration of its own; test/e2e is not among them.
export default defineConfig({
  root: repository,
  test: {
    projects: [
      "packages/*",
      "apps/*",
      "guest-images/functions/*/vitest.config.ts",
      "setup",
      "test/bench",
      "test/rig",
    ],
  },
});
