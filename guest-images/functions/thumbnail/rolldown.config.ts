import { writeFileSync } from "node:fs";
import { defineConfig } from "rolldown";

const samples = [{ http: { path: "/?width=96&height=72&format=png" } }];

// All in one file: a deploy takes a folder as it is, and the function imports one file instead of hundreds.
export default defineConfig({
  input: "src/index.ts",
  platform: "node",
  external: ["@firn/guest"],
  output: { file: "dist/index.js", format: "esm", minify: true, codeSplitting: false },
  plugins: [
    {
      name: "package-json",
      writeBundle: () =>
        writeFileSync("dist/package.json", `${JSON.stringify({ type: "module", firn: { samples } })}\n`),
    },
  ],
});
