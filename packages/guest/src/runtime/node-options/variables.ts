import { readFileSync } from "node:fs";
import tls from "node:tls";

/** Variables that Node.js, or a library below it, reads only when the process starts: with what to do instead. */
const READ_AT_START: ReadonlyMap<string, string> = new Map([
  ["LD_PRELOAD", "Take it out"],
  ["NODE_DEBUG", "Take it out; util.debuglog() of your own may be replaced by console.error()"],
  ["NODE_DEBUG_NATIVE", "Take it out"],
  ["NODE_ICU_DATA", "Take it out: all of ICU's data is there"],
  ["NODE_PENDING_DEPRECATION", "Take it out, or set --trace-deprecation in NODE_OPTIONS"],
  ["NODE_PRESERVE_SYMLINKS", "Take it out, and deploy files in place of links"],
  ["NODE_PRESERVE_SYMLINKS_MAIN", "Take it out, and deploy files in place of links"],
  ["NODE_REDIRECT_WARNINGS", "Take it out: warnings are in the function's log"],
  ["NODE_USE_ENV_PROXY", "Take it out, and give your HTTP client its proxy"],
  ["NODE_USE_SYSTEM_CA", "Take it out, and name a file in NODE_EXTRA_CA_CERTS"],
  ["NODE_V8_COVERAGE", "Take it out"],
  ["OPENSSL_CONF", "Take it out"],
  ["SSL_CERT_DIR", "Take it out, and name a file in NODE_EXTRA_CA_CERTS"],
  ["SSL_CERT_FILE", "Take it out, and name the file in NODE_EXTRA_CA_CERTS"],
  ["UV_THREADPOOL_SIZE", "Take it out: there are four threads"],
]);

/** Newer than the types of Node.js that this is compiled with. */
interface NewerTls {
  getCACertificates?(type: "default"): string[];
  setDefaultCACertificates?(certificates: readonly string[]): void;
}

/** Why a variable has no effect, with what to do; `undefined` if it has. */
export function refuseVariable(name: string, value: string): string | undefined {
  const remedy = READ_AT_START.get(name);
  // An empty one says nothing, and 0 switches nothing on.
  if (remedy === undefined || value === "" || value === "0") return undefined;
  return `${name} has no effect, because it is read when Node.js starts, which is long before a function is deployed. ${remedy}.`;
}

/**
 * Does what NODE_EXTRA_CA_CERTS and NODE_NO_WARNINGS do when Node.js starts.
 *
 * @throws {Error} naming the variable that cannot be heeded.
 */
export function applyVariables(environment: Readonly<Record<string, string>>): void {
  if (environment.NODE_NO_WARNINGS === "1") process.removeAllListeners("warning");
  const path = environment.NODE_EXTRA_CA_CERTS;
  if (path) trustCertificates(path);
}

function trustCertificates(path: string): void {
  const { getCACertificates, setDefaultCACertificates } = tls as NewerTls;
  if (getCACertificates === undefined || setDefaultCACertificates === undefined) {
    throw new Error(
      `NODE_EXTRA_CA_CERTS has no effect in Node.js ${process.versions.node}: give the certificates to your HTTP client, as its option "ca".`,
    );
  }
  try {
    const certificates = readFileSync(path, "utf8").match(
      /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]+?-----END (?:TRUSTED )?CERTIFICATE-----/g,
    );
    if (certificates === null) throw new Error("it holds no certificate in PEM");
    setDefaultCACertificates([...getCACertificates("default"), ...certificates]);
  } catch (cause) {
    throw new Error(`NODE_EXTRA_CA_CERTS names ${path}: ${(cause as Error).message}.`, { cause });
  }
}
