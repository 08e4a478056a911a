import { defineConfig } from "rolldown";

// One self-contained file for /opt/firn/runtime: the guest has no node_modules of its own.
export default defineConfig({
  input: "src/runtime/main.ts",
  platform: "node",
  resolve: { conditionNames: ["firn-source", "node", "import"] },
  output: { file: "dist/runtime.js", format: "esm", minify: false, comments: false },
});
