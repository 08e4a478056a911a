import { Jimp, JimpMime } from "jimp";

/** What a thumbnail can be encoded as. */
export type ThumbnailFormat = "png" | "jpeg";

/** The media type of each format. */
export const MEDIA_TYPES: Readonly<Record<ThumbnailFormat, "image/png" | "image/jpeg">> = {
  png: JimpMime.png,
  jpeg: JimpMime.jpeg,
};

/**
 * Scales an image to cover a rectangle, cutting off what stands out.
 *
 * @param image A PNG, JPEG, GIF, BMP or TIFF file.
 * @param width Of the result, in pixels.
 * @param height Of the result, in pixels.
 * @returns The encoded thumbnail.
 * @throws {Error} if `image` is none of these.
 */
export async function makeThumbnail(
  image: Buffer,
  width: number,
  height: number,
  format: ThumbnailFormat,
): Promise<Buffer> {
  const decoded = await Jimp.read(image);
  const scaled = decoded.cover({ w: width, h: height });
  return format === "png" ? scaled.getBuffer(JimpMime.png) : scaled.getBuffer(JimpMime.jpeg, { quality: 80 });
}

/** A picture to try with: a gradient of 96 by 72 pixels, as a PNG. */
export function makeSample(): Promise<Buffer> {
  const sample = new Jimp({ width: 96, height: 72 });
  sample.scan((x, y, index) => {
    sample.bitmap.data.set([Math.floor((x * 255) / 95), Math.floor((y * 255) / 71), 160, 255], index);
  });
  return sample.getBuffer(JimpMime.png);
}
