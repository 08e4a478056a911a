import { createServer, type Server, type Socket } from "node:net";

const ETHERNET = 14;
const ARP = 0x0806;
const IPV4 = 0x0800;
const MAC = Buffer.from([0x02, 0, 0, 0, 0, 0x99]);

/**
 * The other side of a network card: a Unix stream socket on which it answers ARP requests and ICMP echo requests for every address, as
 * passt does for the addresses that it has.
 */
export class Network implements AsyncDisposable {
  readonly socketPath: string;
  /** Frames of the guest that were echo requests. */
  pings = 0;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];

  private constructor(socketPath: string) {
    this.socketPath = socketPath;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(socketPath: string): Promise<Network> {
    const network = new Network(socketPath);
    await new Promise<void>((resolve, reject) => {
      network.#server.once("error", reject).listen(socketPath, resolve);
    });
    return network;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.push(socket);
    socket.on("error", () => {});
    let waiting = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      waiting = Buffer.concat([waiting, bytes]);
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
        const end = 4 + waiting.readUInt32BE(0);
        const answer = this.#answer(Buffer.from(waiting.subarray(4, end)));
        waiting = waiting.subarray(end);
        if (answer === undefined) continue;
        const length = Buffer.alloc(4);
        length.writeUInt32BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      }
    });
  }

  #answer(frame: Buffer): Buffer | undefined {
    const sender = Buffer.from(frame.subarray(6, 12));
    const body = frame.subarray(ETHERNET);
    sender.copy(frame, 0);
    MAC.copy(frame, 6);
    switch (frame.readUInt16BE(12)) {
      case ARP: {
        const [asking, wanted] = [Buffer.from(body.subarray(8, 18)), Buffer.from(body.subarray(24, 28))];
        body.writeUInt16BE(2, 6);
        MAC.copy(body, 8);
        wanted.copy(body, 14);
        asking.copy(body, 18);
        return frame;
      }
      case IPV4: {
        // ICMP, of which 8 asks and 0 answers.
        if (body[9] !== 1 || body[20] !== 8) return undefined;
        this.pings += 1;
        const [from, to] = [Buffer.from(body.subarray(12, 16)), Buffer.from(body.subarray(16, 20))];
        to.copy(body, 12);
        from.copy(body, 16);
        body[20] = 0;
        const sum = body.readUInt16BE(22) + 0x0800;
        body.writeUInt16BE((sum & 0xffff) + (sum >> 16), 22);
        return frame;
      }
      default:
        return undefined;
    }
  }
}
