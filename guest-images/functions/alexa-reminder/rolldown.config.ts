import { defineConfig } from "rolldown";
import { functionPackage } from "../bundle.ts";

const event = {
  request: {
    type: "IntentRequest",
    timestamp: "2026-11-02T08:00:00Z",
    intent: { name: "AddReminder", slots: { text: { value: "water the plants tomorrow at 9am" } } },
  },
};

// All in one file: a deploy takes a folder as it is, and the function imports one file instead of hundreds.
export default defineConfig({
  input: "src/index.js",
  platform: "node",
  output: { file: "dist/index.js", format: "esm", minify: true, codeSplitting: false },
  plugins: [functionPackage([{ event }])],
});
