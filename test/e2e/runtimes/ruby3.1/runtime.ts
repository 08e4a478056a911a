import { join } from "node:path";
import type { RuntimeDefinition } from "../../../../guest-images/runtimes/definition.ts";

const program = "/opt/firn/runtime.rb";

/** Ruby of Debian, with a runtime of one file: what it takes to add a language. */
const runtime: RuntimeDefinition = {
  manifest: {
    manifestVersion: 1,
    name: "ruby3.1",
    version: "3.1.2",
    agentAbi: 2,
    command: ["/usr/bin/ruby3.1", program],
    oneProcessorArguments: [],
    interface: "runtime-api",
    start: "boot",
    defaultHandler: "lambda_function.lambda_handler",
    handlerExample: "lambda_function.lambda_handler",
    lambdaRuntimes: [],
    loadEnvironment: ["RUBYOPT", "RUBYLIB", "TZ", "LANG"],
  },
  packages: [
    ...["ruby3.1", "libruby3.1", "rubygems-integration"],
    ...["libc6", "libcrypt1", "libffi8", "libgcc-s1", "libgmp10", "libssl3", "libyaml-0-2", "zlib1g"],
  ],
  leftOut: [
    "usr/share/doc",
    "usr/share/man",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/audit",
  ],
  files: async () => ({ [program]: join(import.meta.dirname, "runtime.rb") }),
  texts: {},
};

export default runtime;
