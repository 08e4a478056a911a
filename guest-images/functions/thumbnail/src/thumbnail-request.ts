import type { ThumbnailFormat } from "./thumbnail.ts";

/** Largest width and height in pixels. */
export const MAX_SIDE = 2048;

/** What somebody wants. */
export interface ThumbnailRequest {
  readonly width: number;
  readonly height: number;
  readonly format: ThumbnailFormat;
  /** The file to scale; the sample if absent. */
  readonly image: Buffer | undefined;
  /** Whether the answer is JSON with the thumbnail in base64, for who cannot take bytes. */
  readonly asJson: boolean;
}

/** A request that makes no sense; its message is for who sent it. */
export class BadRequestError extends Error {
  override readonly name = "BadRequestError";
}

/**
 * Reads a request: `?width=&height=&format=png|jpeg` with the image as body, or a JSON body
 * `{ width, height, format, image: base64 }`. Everything is optional: 64 by 48 pixels, PNG, the sample.
 *
 * @throws {BadRequestError} saying what is wrong.
 */
export async function parseThumbnailRequest(request: Request): Promise<ThumbnailRequest> {
  const body = Buffer.from(await request.arrayBuffer());
  const asJson = (request.headers.get("content-type") ?? "").startsWith("application/json");
  const query = Object.fromEntries(new URL(request.url).searchParams);
  const fields: Record<string, unknown> = asJson ? { ...query, ...parseObject(body) } : query;
  const bytes = asJson ? decodeImage(fields.image) : body;
  return {
    width: parseSide("width", fields.width ?? 64),
    height: parseSide("height", fields.height ?? 48),
    format: parseFormat(fields.format ?? "png"),
    image: bytes.length > 0 ? bytes : undefined,
    asJson,
  };
}

function parseObject(body: Buffer): object {
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new BadRequestError("The body is no JSON.", { cause });
  }
  if (typeof value !== "object" || value === null) throw new BadRequestError("The body is no JSON object.");
  return value;
}

function decodeImage(image: unknown): Buffer {
  if (image === undefined) return Buffer.alloc(0);
  if (typeof image !== "string") throw new BadRequestError("image is no text in base64.");
  return Buffer.from(image, "base64");
}

function parseSide(name: string, value: unknown): number {
  const side = Number(value);
  if (!Number.isInteger(side) || side < 1 || side > MAX_SIDE) {
    throw new BadRequestError(`${name} is no integer from 1 to ${MAX_SIDE}.`);
  }
  return side;
}

function parseFormat(value: unknown): ThumbnailFormat {
  if (value !== "png" && value !== "jpeg") throw new BadRequestError('format is neither "png" nor "jpeg".');
  return value;
}
