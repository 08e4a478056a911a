import { join } from "node:path";
import type { RuntimeDefinition } from "../definition.ts";
import { compilePython } from "../python.ts";

const folder = "/opt/firn/python";
const library = "usr/lib/python3.11";
const machine = "usr/lib/aarch64-linux-gnu";

const runtime: RuntimeDefinition = {
  manifest: {
    manifestVersion: 1,
    name: "python3.11",
    version: "3.11.2",
    agentAbi: 2,
    // -I: nothing of the environment or of the working directory changes the runtime. -B: no disk holds byte code that is written.
    command: ["/usr/bin/python3.11", "-I", "-B", folder, "--root=/srv"],
    oneProcessorArguments: [],
    interface: "bridge",
    defaultHandler: "lambda_function.lambda_handler",
    handlerExample: "lambda_function.lambda_handler",
    lambdaRuntimes: ["python3.11"],
    // What counts before a function is imported: where its modules are, and where an AWS SDK's clients, which are made then, belong.
    loadEnvironment: [
      "AWS_DEFAULT_REGION",
      "AWS_REGION",
      "LANG",
      "OPENSSL_CONF",
      "PYTHONHASHSEED",
      "PYTHONOPTIMIZE",
      "PYTHONPATH",
      "PYTHONUTF8",
      "SSL_CERT_DIR",
      "SSL_CERT_FILE",
      "TZ",
    ],
    entryPoints: { packageFile: "package.json" },
  },
  packages: [
    ...["python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "tzdata"],
    ...["libc6", "libgcc-s1", "libstdc++6", "libatomic1"],
    ...[
      "libbz2-1.0",
      "libcrypt1",
      "libexpat1",
      "libffi8",
      "liblzma5",
      "libsqlite3-0",
      "libssl3",
      "libuuid1",
      "zlib1g",
    ],
  ],
  leftOut: [
    ...[
      "doc",
      "lintian",
      "man",
      "binfmts",
      "pixmaps",
      "applications",
      "bash-completion",
      "gdb",
      "zoneinfo/right",
      "zoneinfo/posix",
    ].map((name) => `usr/share/${name}`),
    ...["gconv", "audit"].map((name) => `${machine}/${name}`),
    // Programs for developers, and modules without their libraries: windows, terminals, Berkeley DB, NIS.
    ...[
      "lib2to3",
      "test",
      "pydoc_data",
      "turtledemo",
      "tkinter",
      "idlelib",
      "curses",
      "config-3.11-aarch64-linux-gnu",
    ].map((name) => `${library}/${name}`),
    ...[
      "_curses",
      "_curses_panel",
      "_dbm",
      "_gdbm",
      "nis",
      "readline",
      "_tkinter",
      "_testcapi",
      "_ctypes_test",
    ].map((name) => `${library}/lib-dynload/${name}.cpython-311-aarch64-linux-gnu.so`),
    ...["pdb3.11", "py3versions", "py3compile", "py3clean", "pydoc3.11", "pygettext3.11"].map(
      (name) => `usr/bin/${name}`,
    ),
  ],
  folders: { [folder]: join(import.meta.dirname, "python") },
  links: { "/usr/bin/python3": "python3.11", "/usr/bin/python": "python3.11" },
  finish: compilePython([library, folder.slice(1)]),
  files: async () => ({}),
  texts: {},
};

export default runtime;
