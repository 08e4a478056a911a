// As pool-user.ts, in a worker thread that ends at the moment at which a microVM's stream is taken over.
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

net.Socket = class {
  constructor() {
    process.exit();
  }
} as unknown as typeof net.Socket;
syncBuiltinESMExports();
await import("./pool-user.ts");
