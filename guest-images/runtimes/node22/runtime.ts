import { nodeRuntime } from "../node.ts";

export default nodeRuntime({ name: "node22", version: "22.23.5", lambdaRuntimes: ["nodejs22.x"] });
