import { main } from "./main.ts";
import { runSuites } from "./run-suites.ts";
import { soakSuites } from "./suites.ts";

// What takes too long for every change: hours on a small machine.
await main((argv) => runSuites(soakSuites, argv));
