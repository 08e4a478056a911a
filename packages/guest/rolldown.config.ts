import { defineConfig, type RolldownOptions } from "rolldown";

const bundle = (input: string, file: string): RolldownOptions => ({
  input,
  platform: "node",
  resolve: { conditionNames: ["firn-source", "node", "import"] },
  output: { file, format: "esm", minify: false, comments: false },
});

export default defineConfig([
  // One self-contained file for /opt/firn/runtime: the guest has no node_modules of its own.
  bundle("src/runtime/main.ts", "dist/runtime.js"),
  // What `firn lint` runs: the function gets the SDK from the same file.
  bundle("src/runtime/lint/main.ts", "dist/lint.js"),
  // The program for the author's own machine, which has the package and no other one of Firn.
  bundle("src/dev/main.ts", "dist/dev.js"),
]);
