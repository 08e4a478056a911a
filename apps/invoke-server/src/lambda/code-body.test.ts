import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOfFile } from "@firn/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAX_ZIP_BYTES, readCodeBody } from "./code-body.ts";

const PIECE = 48 * 1024;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-code-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A request whose body holds an archive of this many bytes, made while it is read. */
function requestWith(bytes: number, onPiece: (piece: Buffer) => void = () => {}): Request {
  const encoder = new TextEncoder();
  async function* body() {
    yield encoder.encode('{"FunctionName":"large","Code":{"ZipFile":"');
    for (let sent = 0; sent < bytes; sent += PIECE) {
      const piece = Buffer.alloc(Math.min(PIECE, bytes - sent), sent / PIECE);
      onPiece(piece);
      yield encoder.encode(piece.toString("base64"));
    }
    yield encoder.encode('"},"Timeout":3}');
  }
  return new Request("http://server/", { method: "POST", body: ReadableStream.from(body()), duplex: "half" });
}

describe("readCodeBody()", () => {
  it("holds a piece of the archive at a time, however large it is", async () => {
    const hash = createHash("sha256");
    const file = join(folder, "upload");
    let peak = 0;
    const request = requestWith(MAX_ZIP_BYTES, (piece) => hash.update(piece));
    const read = await readCodeBody(request, "Code.ZipFile", file, (held) => {
      peak = Math.max(peak, held);
    });
    expect(read).toEqual({
      fields: { FunctionName: "large", Code: { ZipFile: "" }, Timeout: 3 },
      hasZip: true,
    });
    expect((await stat(file)).size).toBe(MAX_ZIP_BYTES);
    expect((await digestOfFile(file)).digest).toBe(`sha256:${hash.digest("hex")}`);
    expect(peak).toBeLessThan(2 * PIECE);
  });

  it("stops when the archive is too large, and leaves nothing behind", async () => {
    let made = 0;
    const request = requestWith(4 * MAX_ZIP_BYTES, (piece) => {
      made += piece.length;
    });
    const reading = readCodeBody(request, "Code.ZipFile", join(folder, "upload"));
    await expect(reading).rejects.toMatchObject({ code: "FIRN_PAYLOAD_TOO_LARGE" });
    expect(made).toBeLessThan(MAX_ZIP_BYTES + 10 * PIECE);
    expect(await readdir(folder)).toEqual([]);
  });

  it("refuses an announced length, what is no JSON and what is no base64", async () => {
    const file = join(folder, "upload");
    const read = (body: string, headers: Record<string, string> = {}) =>
      readCodeBody(new Request("http://server/", { method: "POST", body, headers }), "Code.ZipFile", file);
    await expect(read("{}", { "content-length": "99999999" })).rejects.toMatchObject({
      code: "FIRN_PAYLOAD_TOO_LARGE",
    });
    await expect(read("{")).rejects.toMatchObject({ code: "FIRN_INVALID_REQUEST" });
    await expect(read('{"Code":{"ZipFile":"!"}}')).rejects.toThrow("Code.ZipFile is no base64");
    expect(await readdir(folder)).toEqual([]);
  });
});
