import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import {
  InvokeCommand,
  InvokeWithResponseStreamCommand,
  type InvokeWithResponseStreamResponseEvent,
  LambdaClient,
} from "@aws-sdk/client-lambda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, remove, url } from "./api.ts";
import { untilHealth } from "./arm-server.ts";
import { deployed } from "./folders.ts";
import { printedLines } from "./server-log.ts";

const MIB = 1024 * 1024;
const credentials = { accessKeyId: "any", secretAccessKey: "any" };
const client = new LambdaClient({ endpoint: url, region: "local", credentials, maxAttempts: 1 });

beforeAll(async () => {
  await deployed("streaming", "streaming");
  await deployed("streamify", "streaming", { query: { entry: "lambda.mjs", handler: "handler" } });
});
afterAll(async () => {
  client.destroy();
  await remove("streaming");
  await remove("streamify");
});

/** A request whose body is sent as the test goes on. */
function begin(path: string): ClientRequest {
  const sent = request(`${url}/url/streaming${path}`, {
    method: "POST",
    headers: { "transfer-encoding": "chunked" },
  });
  sent.write("begin");
  return sent;
}

async function responseOf(sent: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response;
}

/** Reads until this text has come. */
async function readUntil(response: IncomingMessage, text: string): Promise<string> {
  let read = "";
  for await (const chunk of response.iterator({ destroyOnReturn: false })) {
    read += chunk;
    if (read.includes(text)) break;
  }
  return read;
}

/** Waits until the function has printed this. */
const printed = (matching: RegExp) =>
  expect.poll(() => printedLines("streaming", matching).length, { timeout: 60_000 }).toBeGreaterThan(0);

describe("a stream", () => {
  it("gives its first bytes before it ends, while its request still arrives", async () => {
    const sent = begin("/duplex");
    const response = await responseOf(sent);
    expect(await readUntil(response, "first")).toBe("first");
    // The function waits for this, and so for somebody who has read what it wrote.
    sent.end("more");
    expect(Buffer.concat(await response.toArray()).toString()).toBe("second");
  });

  it("takes bodies that are longer than an event", async () => {
    const body = new Uint8Array(20 * MIB);
    const { status, body: counted } = await call("/url/streaming/count", { method: "POST", body });
    expect([status, counted.toString()]).toEqual([200, String(body.length)]);
  });

  it("is written no faster than it is read", async () => {
    const sent = begin("/flood");
    const response = await responseOf(sent);
    response.pause();
    // Long enough to write a part of it that no buffer holds, if nothing held it up. Nothing fails if it is not.
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    sent.end("stop");
    let bytes = 0;
    let end = "";
    for await (const chunk of response) {
      bytes += chunk.length;
      end = (end + chunk.toString("latin1")).slice(-100);
    }
    const written = Number(/written: (\d+)$/.exec(end)?.[1]);
    expect(written).toBeLessThan(24 * MIB);
    expect(bytes).toBeGreaterThanOrEqual(written);
  });

  it("ends for a caller that goes away, and its instance serves on", async () => {
    const sent = begin("/endless");
    await readUntil(await responseOf(sent), "first");
    sent.destroy();
    await printed(/the signal was aborted/);
    await printed(/the stream was cancelled/);
    await untilHealth(url, ({ instances }) => instances.busy === 0, 60_000);
    expect((await call("/url/streaming/hello")).start).toBe("warm");
  });

  it("that fails in the middle is no whole answer, and the log says why", async () => {
    const response = await fetch(`${url}/url/streaming/broken`);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    await printed(/broken in the middle/);
    expect((await call("/url/streaming/hello")).status).toBe(200);
  });

  it("is not mixed up with another one", async () => {
    const names = ["a", "b", "c"];
    const sent = names.map((name) => begin(`/named?${name}`));
    const responses = await Promise.all(sent.map(responseOf));
    // All have begun before one of them ends.
    const begun = await Promise.all(responses.map((response) => readUntil(response, " ")));
    for (const one of sent) one.end("more");
    const ends = await Promise.all(
      responses.map(async (one) => Buffer.concat(await one.toArray()).toString()),
    );
    expect(begun.map((text, index) => text + ends[index])).toEqual(
      names.map((name) => `${name} ends ${name}`),
    );
  });

  it("has no body for HEAD", async () => {
    const { status, body } = await call("/url/streamify/head", { method: "HEAD" });
    expect([status, body.length]).toEqual([201, 0]);
  });
});

it("waitUntil() does not hold up the answer", async () => {
  expect((await call("/url/streaming/background")).body.toString()).toBe("answered");
  await printed(/done later/);
});

describe("a handler of awslambda.streamifyResponse", () => {
  it("answers its URL", async () => {
    const plain = await call("/url/streamify/");
    expect([plain.status, plain.headers.get("content-type"), plain.body.toString()]).toEqual([
      200,
      "text/plain",
      "one two",
    ]);
    const head = await call("/url/streamify/head");
    expect([
      head.status,
      head.headers.get("x-a"),
      head.headers.get("set-cookie"),
      head.body.toString(),
    ]).toEqual([201, "1", "c=1", "piped on"]);
    expect((await call("/url/streamify/early")).status).toBe(502);
  });

  const stream = async (way: string, more: object = {}) => {
    const Payload = JSON.stringify({ way });
    const answer = await client.send(
      new InvokeWithResponseStreamCommand({ FunctionName: "streamify", Payload, ...more }),
    );
    const events: InvokeWithResponseStreamResponseEvent[] = [];
    for await (const event of answer.EventStream ?? []) events.push(event);
    const pieces = events.flatMap(({ PayloadChunk }) => PayloadChunk?.Payload ?? []);
    const complete = events.at(-1)?.InvokeComplete;
    return { answer, text: Buffer.concat(pieces).toString(), complete };
  };

  it("answers InvokeWithResponseStream of the AWS SDK", async () => {
    const { answer, text, complete } = await stream("/", { LogType: "Tail" });
    expect(answer).toMatchObject({ StatusCode: 200, ExecutedVersion: "$LATEST" });
    expect(text).toBe("one two");
    expect(complete?.ErrorCode).toBeUndefined();
    const log = Buffer.from(complete?.LogResult ?? "", "base64").toString();
    expect(log).toMatch(/streams \/[\s\S]*REPORT RequestId/);
  });

  it.each([
    ["/broken", "one ", "after the first byte"],
    ["/early", "", "before the first byte"],
  ])("tells the SDK in its last frame how it failed: %s", async (way, begun, message) => {
    const { text, complete } = await stream(way);
    expect([text, complete?.ErrorCode]).toEqual([begun, "Unhandled"]);
    expect(JSON.parse(complete?.ErrorDetails ?? "{}")).toMatchObject({
      errorType: "RangeError",
      errorMessage: message,
    });
  });

  it("answers Invoke with all of it", async () => {
    const Payload = JSON.stringify({ way: "/" });
    const whole = await client.send(new InvokeCommand({ FunctionName: "streamify", Payload }));
    expect(Buffer.from(whole.Payload ?? []).toString()).toBe("one two");
  });
});
