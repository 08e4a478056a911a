import { nodeVersion } from "../../../setup/node-for-arm.ts";
import { nodeRuntime } from "../node.ts";

export default nodeRuntime({ name: "node24", version: nodeVersion, lambdaRuntimes: ["nodejs24.x"] });
