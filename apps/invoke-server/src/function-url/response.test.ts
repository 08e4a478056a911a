import { describe, expect, it } from "vitest";
import { toResponse, toStreamedResponse } from "./response.ts";

const answer = (status: number, payload = "", headers: Record<string, string> = {}) => ({
  status,
  headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
  payload: Buffer.from(payload),
  functionError: "",
});

describe("toResponse()", () => {
  it("passes status, headers and bytes as they are", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const headers = [
      { name: "set-cookie", value: "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT" },
      { name: "set-cookie", value: "b=2" },
      { name: "server-timing", value: "db;dur=5" },
      { name: "content-type", value: "image/png" },
    ];
    const response = toResponse({ status: 207, headers, payload: bytes, functionError: "" }, "GET");
    expect(response.status).toBe(207);
    expect([...response.headers].filter(([name]) => name !== "content-length")).toEqual(
      expect.arrayContaining(headers.map(({ name, value }) => [name, value])),
    );
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  it.each([
    ["GET", 200, "abc", {}, "3"],
    ["GET", 200, "", {}, "0"],
    ["GET", 302, "", {}, "0"],
    ["GET", 200, "abc", { "content-length": "7" }, "3"],
    ["HEAD", 200, "abc", {}, "3"],
    ["HEAD", 200, "", { "Content-Length": "1000" }, "1000"],
    ["HEAD", 200, "", { "content-length": "many" }, null],
    ["HEAD", 200, "", {}, null],
    ["GET", 204, "abc", {}, null],
    ["GET", 304, "", { "content-length": "12" }, "12"],
  ])("%s %i with %j and %j has length %s", async (method, status, payload, headers, length) => {
    const response = toResponse(answer(status, payload, headers as Record<string, string>), method);
    expect(response.headers.get("content-length")).toBe(length);
    const hasBody = method === "GET" && status !== 204 && status !== 304;
    expect(await response.text()).toBe(hasBody ? payload : "");
  });

  it("forwards no header of a connection, and none that Connection names", () => {
    const headers = {
      connection: "x-hop",
      "x-hop": "1",
      "transfer-encoding": "chunked",
      "x-firn-start": "warm",
      "x-b": "2",
    };
    const response = toResponse(answer(200, "abc", headers), "GET");
    expect([...response.headers.keys()].sort()).toEqual(["content-length", "content-type", "x-b"]);
  });

  it.each([
    ["a status that is none", answer(99)],
    ["a status of switching protocols", answer(101)],
    ["a status beyond HTTP", answer(600)],
    ["a status that is no number", answer(Number.NaN)],
    ["a header with a line end", answer(200, "", { "x-a": "1\r\nx-b: 2" })],
    ["a header beyond Latin-1", answer(200, "", { "x-a": "日本" })],
    ["a header without a name", answer(200, "", { "": "1" })],
    ["more than 6 MiB", answer(200, "x".repeat(6 * 1024 * 1024 + 1))],
  ])("makes %s the function's error", (_, wrong) => {
    expect(() => toResponse(wrong, "GET")).toThrow(
      expect.objectContaining({ code: "FIRN_FUNCTION_RESPONSE" }),
    );
  });
});

describe("toStreamedResponse()", () => {
  const streamed = (
    body: ReadableStream<Uint8Array>,
    headers: Record<string, string> = {},
    status = 200,
  ) => ({
    status,
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    body,
  });
  const endless = (onCancel: () => void = () => {}) =>
    new ReadableStream<Uint8Array>({ pull: (c) => c.enqueue(Buffer.from("x")), cancel: onCancel });
  const failing = () =>
    new ReadableStream<Uint8Array>({
      start(c) {
        c.enqueue(Buffer.from("half"));
      },
      pull(c) {
        c.error(new Error("no more"));
      },
    });

  it("passes pieces on as they are asked for, and the end of the asking back", async () => {
    let cancelled = false;
    const body = endless(() => {
      cancelled = true;
    });
    const response = toStreamedResponse(streamed(body, { "x-a": "1", "x-firn-b": "2" }), "GET");
    expect(Object.fromEntries(response.headers)).toEqual({
      "x-a": "1",
      "content-type": "application/octet-stream",
    });
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("x");
    await reader?.cancel();
    expect(cancelled).toBe(true);
  });

  it("cuts the connection when the function fails, and has no end without one", async () => {
    let cut = 0;
    const response = toStreamedResponse(streamed(failing()), "GET", () => {
      cut += 1;
    });
    expect([await response.text(), cut]).toEqual(["half", 1]);
    await expect(toStreamedResponse(streamed(failing()), "GET").text()).rejects.toThrow("no more");
  });

  it.each([
    ["5", "too few", true],
    ["3", "too many", true],
    ["4", "as said", false],
  ])("holds a function to its Content-Length of %s: %s", async (length, _, isCut) => {
    const four = new ReadableStream<Uint8Array>({
      start(c) {
        c.enqueue(Buffer.from("four"));
        c.close();
      },
    });
    let cut = false;
    const response = toStreamedResponse(streamed(four, { "Content-Length": length }), "GET", () => {
      cut = true;
    });
    expect(response.headers.get("content-length")).toBe(length);
    await response.text();
    expect(cut).toBe(isCut);
  });

  it.each([
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 304],
  ])("has no body for %s %i", async (method, status) => {
    const response = toStreamedResponse(streamed(failing(), {}, status), method);
    expect([response.status, response.body]).toEqual([status, null]);
  });

  it("makes a head that HTTP cannot carry the function's error, and stops it", () => {
    let cancelled = false;
    const body = endless(() => {
      cancelled = true;
    });
    expect(() => toStreamedResponse(streamed(body, { "x-a": "日本" }), "GET")).toThrow(
      expect.objectContaining({ code: "FIRN_FUNCTION_RESPONSE" }),
    );
    expect(cancelled).toBe(true);
  });
});
