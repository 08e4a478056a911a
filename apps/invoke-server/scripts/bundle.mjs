// Bundles the server with all of its dependencies into one file, which needs no npm where it runs: an emulated machine starts it many
// times faster than a tree of small files. It is no part of the package.
import { rolldown } from "rolldown";

const bundle = await rolldown({
  input: "src/main.ts",
  platform: "node",
  // As tsc compiles the packages: the oldest Node.js that they declare knows no `await using`.
  transform: { target: "es2024" },
  resolve: { conditionNames: ["firn-source", "node", "import", "module", "default"] },
  external: [/\.node$/],
});
await bundle.write({
  file: "dist/bundle/firn-invoke-server.js",
  format: "esm",
  minify: false,
  sourcemap: false,
});
await bundle.close();
