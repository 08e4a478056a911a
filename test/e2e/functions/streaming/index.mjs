const encoder = new TextEncoder();
const CHUNK = new Uint8Array(64 * 1024).fill(97);
const TOTAL_BYTES = 64 * 1024 * 1024;

/** Waits for the first bytes of a request. */
async function something(request) {
  const reader = request.body.getReader();
  await reader.read();
  return reader;
}

const ways = {
  /** Says "first", and the rest only when more of the request has come. */
  "/duplex": (request) =>
    new ReadableStream({
      async start(controller) {
        const reader = await something(request);
        controller.enqueue(encoder.encode("first"));
        await reader.read();
        controller.enqueue(encoder.encode("second"));
        controller.close();
      },
    }),
  /** Counts a body without keeping it. */
  "/count": async (request) => {
    let bytes = 0;
    for await (const piece of request.body) bytes += piece.length;
    return String(bytes);
  },
  /** Writes as fast as it may. When more of the request has come, it says how much it had written, and ends. */
  "/flood": (request) => {
    let written = 0;
    let then;
    const told = (async () => {
      const reader = await something(request);
      await reader.read();
      then = written;
    })();
    return new ReadableStream({
      async pull(controller) {
        if (then === undefined && written < TOTAL_BYTES) {
          controller.enqueue(CHUNK.slice());
          written += CHUNK.length;
          return;
        }
        await told;
        controller.enqueue(encoder.encode(`written: ${then}`));
        controller.close();
      },
    });
  },
  /** Goes on until its caller has gone. */
  "/endless": (request) => {
    request.signal.addEventListener("abort", () => console.log("the signal was aborted"));
    return new ReadableStream({
      start(controller) {
        controller.enqueue(encoder.encode("first"));
      },
      cancel() {
        console.log("the stream was cancelled");
      },
    });
  },
  "/hello": () => "hello",
  "/broken": () =>
    new ReadableStream({
      async start(controller) {
        controller.enqueue(encoder.encode("half"));
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.error(new RangeError("broken in the middle"));
      },
    }),
  /** A stream that names its request, so that two are told apart. */
  "/named": (request) => {
    const name = new URL(request.url).search.slice(1);
    return new ReadableStream({
      async start(controller) {
        const reader = await something(request);
        controller.enqueue(encoder.encode(`${name} `));
        console.log(`${name} has begun`);
        await reader.read();
        controller.enqueue(encoder.encode(`ends ${name}`));
        controller.close();
      },
    });
  },
};

export default {
  async fetch(request, _env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/background") {
      context.waitUntil(
        new Promise((resolve) => setTimeout(resolve, 100)).then(() => console.log("done later")),
      );
      return new Response("answered");
    }
    return new Response(await ways[pathname](request));
  },
};
