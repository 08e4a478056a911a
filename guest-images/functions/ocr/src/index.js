import { fileURLToPath } from "node:url";
import { createWorker, OEM } from "tesseract.js";
import { sample } from "./sample.js";

// The engine, its model and the thread that it runs in are made once, and are in the snapshot.
const worker = await createWorker("eng", OEM.LSTM_ONLY, {
  workerPath: fileURLToPath(new URL("./worker.cjs", import.meta.url)),
  langPath: fileURLToPath(new URL(".", import.meta.url)),
  cacheMethod: "none",
});

/**
 * Reads the English text in a picture.
 *
 * @param {{ image?: string }} event A PNG, JPEG, BMP or WebP file in base64; a sample if absent.
 * @returns {Promise<{ text: string, confidence: number }>} `confidence` from 0 to 100.
 */
export async function handler({ image } = {}) {
  const picture = image === undefined ? sample : Buffer.from(image, "base64");
  const { data } = await worker.recognize(picture);
  return { text: data.text.trim(), confidence: data.confidence };
}
