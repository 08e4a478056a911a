import { Jimp, JimpMime } from "jimp";

/** Most and largest results of one answer. */
const MOST = 8;
const WIDEST = 4096;

/** What is scaled when nothing was sent: a gradient of 128 by 96 pixels. */
const sample = new Jimp({ width: 128, height: 96 });
sample.scan((x, y, index) => sample.bitmap.data.set([2 * x, Math.floor((255 * y) / 95), 128, 255], index));

/**
 * Scales one picture to several widths, and keeps its proportions.
 *
 * @param {{ image?: string, widths?: number[] }} event `image` is a PNG, JPEG, GIF, BMP or TIFF file in base64; a sample if absent.
 * @returns {Promise<{ images: { width: number, height: number, image: string }[] }>} PNG files in base64.
 */
export async function handler({ image, widths = [320, 160, 80] } = {}) {
  if (!Array.isArray(widths) || widths.length > MOST || !widths.every(isWidth)) {
    throw new RangeError(`"widths" must be at most ${MOST} whole numbers from 1 to ${WIDEST}.`);
  }
  const picture = image === undefined ? sample : await Jimp.read(Buffer.from(image, "base64"));
  const images = [];
  for (const w of widths) {
    const scaled = picture.clone().resize({ w });
    const png = await scaled.getBuffer(JimpMime.png);
    images.push({ width: scaled.width, height: scaled.height, image: png.toString("base64") });
  }
  return { images };
}

function isWidth(width) {
  return Number.isInteger(width) && width >= 1 && width <= WIDEST;
}
