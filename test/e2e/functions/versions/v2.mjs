import { setTimeout as sleep } from "node:timers/promises";

export const handler = async ({ ms = 0 }) => {
  await sleep(ms);
  return "v2";
};
