import { copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig } from "rolldown";
import { functionPackage } from "../bundle.ts";

const require = createRequire(import.meta.url);
const engine = require.resolve("tesseract.js-core/tesseract-core-simd-lstm.js");
const words = join(dirname(require.resolve("@tesseract.js-data/eng/package.json")), "4.0.0_best_int");
const variants = ["", "-lstm", "-simd", "-simd-lstm", "-relaxedsimd", "-relaxedsimd-lstm"];

// The function, and the worker thread that it reads in; of the six variants of the engine the one that runs on every ARM processor.
export default defineConfig([
  {
    input: "src/index.js",
    platform: "node",
    output: { file: "dist/index.js", format: "esm", minify: true },
    plugins: [functionPackage([{ event: {} }])],
  },
  {
    input: require.resolve("tesseract.js/src/worker-script/node/index.js"),
    platform: "node",
    resolve: {
      alias: Object.fromEntries(
        variants.map((variant) => [`tesseract.js-core/tesseract-core${variant}`, engine]),
      ),
    },
    // The engine looks for its WebAssembly beside itself.
    output: { file: "dist/worker.cjs", format: "cjs", minify: true },
    plugins: [
      {
        name: "copies",
        writeBundle() {
          copyFileSync(engine.replace(/js$/, "wasm"), "dist/tesseract-core-simd-lstm.wasm");
          copyFileSync(join(words, "eng.traineddata.gz"), "dist/eng.traineddata.gz");
        },
      },
    ],
  },
]);
