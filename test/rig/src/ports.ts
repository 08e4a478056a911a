import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { SetupError } from "../../../setup/errors.ts";

/** A port of the loopback interface that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A pair of ports: what arrives at the host's reaches the guest's. */
export type Forward = readonly [host: number, guest: number];

/**
 * Reads `HOSTPORT:GUESTPORT`. A host port of 0 stands for any that is free.
 *
 * @throws {SetupError} RIG_BAD_ARGUMENT
 */
export function parseForward(text: string): Forward {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  const [host, guest] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || host > 65535 || guest > 65535 || guest === 0) {
    const message = `"${text}" is no port forward. Write HOSTPORT:GUESTPORT, as in 8080:8080.`;
    throw new SetupError("RIG_BAD_ARGUMENT", message);
  }
  return [host, guest];
}
