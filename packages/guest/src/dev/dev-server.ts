import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type FunctionOptions, FunctionProcess, LoadError } from "./function-process.ts";
import { serveRequest } from "./serve-request.ts";

/** What is served, and where. */
export interface DevServerOptions extends FunctionOptions {
  /** TCP port; 0 takes a free one. */
  readonly port: number;
  /** Address to listen on. */
  readonly host: string;
}

/** A server that listens. */
export interface DevServer extends AsyncDisposable {
  readonly url: string;
}

/**
 * Serves a function without a microVM. A process that ends is started again by the next request.
 *
 * @throws {LoadError} if it cannot be loaded.
 */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  let current = Promise.resolve(await FunctionProcess.start(options));
  const called = async (): Promise<FunctionProcess> => {
    const last = await current.catch(() => undefined);
    if (last?.running) return last;
    current = FunctionProcess.start(options);
    return current;
  };
  const server = createServer((incoming, outgoing) => {
    called()
      .then((process) => serveRequest(process, incoming, outgoing))
      .catch((error: unknown) => {
        const text = error instanceof LoadError ? error.message : String(error);
        console.error(text);
        outgoing.writeHead(502, { "content-type": "text/plain" }).end(`${text}\n`);
      });
  });
  server.on("upgrade", (_incoming, socket) => {
    socket.end("HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\nWebSockets are not supported.\n");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    url: `http://${options.host}:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      (await current.catch(() => undefined))?.close();
    },
  };
}
