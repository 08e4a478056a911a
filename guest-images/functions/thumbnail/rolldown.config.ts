import { defineConfig } from "rolldown";
import { functionPackage } from "../bundle.ts";

const samples = [{ http: { path: "/?width=96&height=72&format=png" } }];

// All in one file: a deploy takes a folder as it is, and the function imports one file instead of hundreds.
export default defineConfig({
  input: "src/index.ts",
  platform: "node",
  external: ["@firn/guest"],
  output: { file: "dist/index.js", format: "esm", minify: true, codeSplitting: false },
  plugins: [functionPackage(samples)],
});
