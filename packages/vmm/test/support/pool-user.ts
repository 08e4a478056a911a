// A program that fills a pool, restores from it and stays, so that its end can be tested at every point: run by Node.js, or as a
// worker thread.
import { argv } from "node:process";
import { isMainThread, workerData } from "node:worker_threads";
import { createMicrovmPool, type PoolBase, type RestoreOptions } from "../../src/index.ts";

const { base, diff } = (isMainThread ? JSON.parse(argv[2] ?? "") : workerData) as {
  base: PoolBase;
  diff: RestoreOptions;
};
const pool = createMicrovmPool({ bases: [base], size: 1 });
await pool.filled();
console.log(`waiting ${JSON.stringify(pool.statistics())}`);
const microvm = await pool.restore(diff);
console.log(`serving ${microvm.pid} ${microvm.pooled}`);
setInterval(() => {}, 1000);
