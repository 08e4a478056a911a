import { join } from "node:path";
import { repository } from "./machine.ts";
import { main } from "./main.ts";
import { runSuites } from "./run-suites.ts";
import { soakSuites } from "./suites.ts";

// Runtimes that the tests add to those of the repository.
process.env.FIRN_MORE_RUNTIMES ??= join(repository, "test", "e2e", "runtimes");

// What takes too long for every change: hours on a small machine.
await main((argv) => runSuites(soakSuites, argv));
