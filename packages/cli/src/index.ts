export {
  Client,
  type DeploySettings,
  type Health,
  type InvokeAnswer,
  type RemoteFunction,
} from "./client.ts";
export type { Surroundings } from "./commands.ts";
export { CliError, EXIT } from "./errors.ts";
export { run } from "./run.ts";
