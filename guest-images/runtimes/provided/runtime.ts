import type { RuntimeDefinition } from "../definition.ts";

/** Programs that bring their own runtime: Go, Rust, C++, anything that is built for Linux on arm64, or a script of the shell. */
const runtime: RuntimeDefinition = {
  manifest: {
    manifestVersion: 1,
    name: "provided",
    version: "2023",
    agentAbi: 2,
    command: ["/srv/bootstrap"],
    oneProcessorArguments: [],
    interface: "runtime-api",
    start: "load",
    programs: ["bootstrap"],
    defaultHandler: "bootstrap",
    handlerExample: "bootstrap",
    lambdaRuntimes: ["provided.al2023", "provided.al2"],
    refusedRuntimes: {
      "go1.x": "AWS has withdrawn it: build the program as bootstrap, and deploy it for provided.al2023.",
    },
    loadEnvironment: ["*"],
    entryPoints: { packageFile: "package.json" },
  },
  packages: ["libc6", "libgcc-s1", "libstdc++6"],
  leftOut: [
    // Documentation, and what converts between character sets.
    ...["usr/share", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/audit"],
  ],
  files: async () => ({}),
  texts: {},
};

export default runtime;
