import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export const handler = awslambda.streamifyResponse(async (event, stream, _context) => {
  const way = event.way ?? event.rawPath;
  console.log(`streams ${way}`);
  if (way === "/early") throw new RangeError("before the first byte");
  if (way === "/head") {
    const metadata = {
      statusCode: 201,
      headers: { "x-a": "1", "content-type": "text/plain" },
      cookies: ["c=1"],
    };
    await pipeline(Readable.from(["piped ", "on"]), awslambda.HttpResponseStream.from(stream, metadata));
    return;
  }
  stream.setContentType("text/plain");
  stream.write("one ");
  await new Promise((resolve) => setTimeout(resolve, 50));
  if (way === "/broken") throw new RangeError("after the first byte");
  stream.write("two");
  stream.end();
});
