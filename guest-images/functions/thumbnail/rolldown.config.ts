import { writeFileSync } from "node:fs";
import { defineConfig } from "rolldown";

// All in one file: a deploy takes a folder as it is, and the function imports one file instead of hundreds.
export default defineConfig({
  input: "src/index.ts",
  platform: "node",
  external: ["@firn/guest"],
  output: { file: "dist/index.js", format: "esm", minify: true, codeSplitting: false },
  plugins: [
    {
      name: "package-json",
      writeBundle: () => writeFileSync("dist/package.json", '{ "type": "module" }\n'),
    },
  ],
});
