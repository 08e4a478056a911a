export { judgeVmm, type Verdict, vmmTables } from "./judge-vmm.ts";
export { parseVmmReport, type VmmReport } from "./vmm-report.ts";
