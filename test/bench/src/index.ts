export { type FunctionReport, functionTable, judgeFunctions, type StartCost } from "./judge-functions.ts";
export { judgeVmm, type Verdict, vmmTables } from "./judge-vmm.ts";
export { parseVmmReport, type VmmReport } from "./vmm-report.ts";
