import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { splitOptions } from "../src/runtime/node-options/parse.ts";
import { RuntimeProcess } from "./runtime-process.ts";

const FILES = {
  "index.mjs": `
    export const handler = async () => ({
      variable: process.env.NODE_OPTIONS,
      sourceMaps: process.sourceMapsEnabled,
      loaded: globalThis.loaded,
      stackTraceLimit: Error.stackTraceLimit,
      warnings: process.listenerCount("warning"),
    });`,
  "setup.mjs": "(globalThis.loaded ??= []).push('setup.mjs')",
  "setup.cjs": "(globalThis.loaded ??= []).push('setup.cjs')",
  "fails.mjs": "throw new Error('not set up')",
  "certificate.pem": `# an authority\n${tls.rootCertificates[0]}\n`,
  "text.pem": "no certificate",
  "node_modules/instrument/package.json": '{"exports":{"./register":{"import":"./register.mjs"}}}',
  "node_modules/instrument/register.mjs": "(globalThis.loaded ??= []).push('instrument')",
};

async function load(environment: Record<string, string>): Promise<RuntimeProcess> {
  const runtime = await RuntimeProcess.start(FILES);
  runtime.loadFunction({ entry: "index.mjs", environment });
  return runtime;
}

// One process is refused one after the other.
let refusing: RuntimeProcess;
beforeAll(async () => {
  refusing = await RuntimeProcess.start(FILES);
});
afterAll(() => refusing[Symbol.asyncDispose]());

async function refusal(environment: Record<string, string>): Promise<string> {
  refusing.loadFunction({ entry: "index.mjs", environment });
  const { code, message } = await refusing.next("functionFailed");
  expect(code).toBe("FIRN_FUNCTION_IMPORT");
  return message;
}

describe("NODE_OPTIONS", () => {
  it("is heeded before the function is imported", async () => {
    const options =
      '--enable-source-maps --import ./setup.mjs --import=instrument/register -r "./setup.cjs" --stack_trace_limit=37 --no-warnings';
    await using runtime = await load({ NODE_OPTIONS: options });
    await runtime.next("functionReady");
    expect(await runtime.call()).toEqual({
      variable: options,
      sourceMaps: true,
      loaded: ["setup.mjs", "instrument", "setup.cjs"],
      stackTraceLimit: 37,
      warnings: 0,
    });
  });

  it("may name a file by its absolute path", async () => {
    await using runtime = await RuntimeProcess.start(FILES);
    runtime.loadFunction({
      entry: "index.mjs",
      environment: {
        NODE_OPTIONS: `--import ${runtime.root}/setup.mjs --disable-warning=ExperimentalWarning`,
      },
    });
    await runtime.next("functionReady");
    expect(await runtime.call()).toMatchObject({ loaded: ["setup.mjs"], sourceMaps: false, warnings: 1 });
  });

  it.each([
    ["--inspect", "NODE_OPTIONS has --inspect"],
    ["--enable-source-maps --inspect=0.0.0.0:9229", "NODE_OPTIONS has --inspect,"],
    ["--max-old-space-size=4096", "more of that"],
    ["--max_old_space_size=4096", "--max-old-space-size"],
    ["--expose-gc", "--enable-source-maps, --import"],
    ["--import", "--import without a value"],
    ["--import ./missing.mjs", "--import ./missing.mjs, and that failed"],
    ["--import ./fails.mjs", "not set up"],
    ["--stack-trace-limit=many", "no whole number"],
    ["index.js", '"index.js", which is no option'],
    ['--import "./setup.mjs', "quote"],
  ])("is refused by name when it cannot be heeded: %s", async (options, message) => {
    expect(await refusal({ NODE_OPTIONS: options })).toContain(message);
  });

  it("is split as Node.js splits it", () => {
    expect(splitOptions("")).toEqual([]);
    expect(splitOptions('  --a  --b="c d" "--e \\"f\\" \\\\" g\\h ""')).toEqual([
      "--a",
      "--b=c d",
      '--e "f" \\',
      "g\\h",
      "",
    ]);
  });
});

describe("a variable that Node.js reads when it starts", () => {
  it.each([
    "NODE_DEBUG",
    "NODE_V8_COVERAGE",
    "UV_THREADPOOL_SIZE",
    "NODE_USE_SYSTEM_CA",
    "LD_PRELOAD",
    "SSL_CERT_FILE",
  ])("is refused by name: %s", async (name) => {
    expect(await refusal({ [name]: "1" })).toContain(`${name} has no effect`);
  });

  it("is heeded if it is NODE_EXTRA_CA_CERTS with certificates, and refused otherwise", async () => {
    if ("setDefaultCACertificates" in tls) {
      await using runtime = await load({ NODE_EXTRA_CA_CERTS: "certificate.pem" });
      await runtime.next("functionReady");
    }
    expect(await refusal({ NODE_EXTRA_CA_CERTS: "text.pem" })).toContain("NODE_EXTRA_CA_CERTS");
    expect(await refusal({ NODE_EXTRA_CA_CERTS: "missing.pem" })).toContain("NODE_EXTRA_CA_CERTS");
  });
});
