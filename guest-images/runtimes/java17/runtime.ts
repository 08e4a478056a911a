import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { linkJavaForArm } from "../../../setup/java.ts";
import { toolPrefix } from "../../../setup/machine.ts";
import type { RuntimeDefinition } from "../definition.ts";
import { buildLauncher, launcherClass, launcherOptions } from "./launcher.ts";

const java = "/usr/lib/jvm/java-17";
const folder = "/opt/firn/java17";

/** All of Java SE, and what else functions for servers use. No compiler, no debugger, no screen. */
const modules = [
  ...["java.se", "jdk.charsets", "jdk.crypto.ec", "jdk.httpserver", "jdk.jfr", "jdk.management"],
  ...["jdk.naming.dns", "jdk.net", "jdk.random", "jdk.security.auth", "jdk.security.jgss"],
  ...["jdk.unsupported", "jdk.xml.dom", "jdk.zipfs"],
];

const leftOut = [
  ...["legal", "bin/jfr", "bin/jrunscript", "bin/keytool", "bin/rmiregistry", "lib/jrt-fs.jar"],
  ...["awt_xawt", "jawt", "jsound", "splashscreen"].map((library) => `lib/lib${library}.so`),
];

const command = [
  `${java}/bin/java`,
  // One thread that collects garbage, and the function's own: what clones write to stays little.
  "-XX:+UseSerialGC",
  // A young generation that does not grow: every clone would write to all of it.
  "-XX:NewSize=8m",
  "-XX:MaxNewSize=8m",
  "-Xms16m",
  "-Xmx{memory:60%}m",
  "-Xss512k",
  // As on AWS: code of the second compiler pays only after minutes, and is larger.
  "-XX:TieredStopAtLevel=1",
  // No file in /tmp, and no thread that waits for tools.
  "-XX:-UsePerfData",
  "-XX:+DisableAttachMechanism",
  // Seeds of generators that are made after a restore come from the kernel, not from the clock.
  "-Djava.util.secureRandomSeed=true",
  "-Djava.awt.headless=true",
  `-Dcom.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI=${folder}/libaws-lambda-jni.so`,
  ...launcherOptions,
  "-cp",
  `${folder}/classes:${folder}/jars/*`,
  launcherClass,
];

const other = "Firn has Java 17 only. Build for it, and deploy for java17.";

/** Java 17, with a launcher that answers by AWS's own client. */
const runtime: RuntimeDefinition = {
  manifest: {
    manifestVersion: 1,
    name: "java17",
    version: "17",
    agentAbi: 2,
    command,
    oneProcessorArguments: [],
    interface: "runtime-api",
    start: "boot",
    defaultHandler: "Handler",
    handlerExample: "example.Handler::handleRequest",
    lambdaRuntimes: [],
    refusedRuntimes: { java8: other, "java8.al2": other, java11: other, java21: other, java25: other },
    loadEnvironment: ["*"],
    entryPoints: { packageFile: "package.json" },
  },
  packages: ["libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libjpeg62-turbo", "liblcms2-2"],
  leftOut: ["usr/share", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/audit"],
  async files() {
    const linked = await linkJavaForArm(modules, leftOut);
    const launcher = await buildLauncher({
      compiler: `${toolPrefix}gcc`,
      clientLibrary: "libaws-lambda-jni.linux-aarch_64.so",
    });
    return {
      ...(await filesBelow(join(linked.directory, "java"), java)),
      ...(await filesBelow(launcher.directory, folder)),
    };
  },
  texts: {},
};

export default runtime;

async function filesBelow(directory: string, place: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(files.sort().map((file) => [join(place, file.slice(directory.length)), file]));
}
