import { defineConfig } from "rolldown";
import { functionPackage } from "../bundle.ts";

// All in one file: a deploy takes a folder as it is, and the function imports one file instead of hundreds.
export default defineConfig({
  input: "src/index.js",
  platform: "node",
  output: { file: "dist/index.js", format: "esm", minify: true, codeSplitting: false },
  plugins: [functionPackage([{ event: { widths: [64, 32] } }])],
});
