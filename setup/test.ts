import { main } from "./main.ts";
import { runSuites } from "./run-suites.ts";
import { testSuites } from "./suites.ts";

// What every change must pass.
await main((argv) => runSuites(testSuites, argv));
