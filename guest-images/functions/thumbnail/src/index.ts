import { warmUp } from "@firn/guest";
import { MEDIA_TYPES, makeSample, makeThumbnail } from "./thumbnail.ts";
import { BadRequestError, parseThumbnailRequest } from "./thumbnail-request.ts";

const sample = makeSample();

const app = {
  /** Answers with a thumbnail of the image in the request, or of the sample. */
  async fetch(request: Request): Promise<Response> {
    try {
      const { width, height, format, image, asJson } = await parseThumbnailRequest(request);
      const thumbnail = await scale(image ?? (await sample), width, height, format);
      if (asJson) {
        return Response.json({
          mediaType: MEDIA_TYPES[format],
          width,
          height,
          image: thumbnail.toString("base64"),
        });
      }
      return new Response(new Uint8Array(thumbnail), { headers: { "content-type": MEDIA_TYPES[format] } });
    } catch (error) {
      if (error instanceof BadRequestError) return Response.json({ error: error.message }, { status: 400 });
      throw error;
    }
  },
};

// At deploy: what a request needs is compiled, and in the snapshot.
warmUp(async () => {
  for (const format of ["jpeg", "png"]) await app.fetch(new Request(`http://warm-up/?format=${format}`));
});

export default app;

async function scale(...args: Parameters<typeof makeThumbnail>): Promise<Buffer> {
  try {
    return await makeThumbnail(...args);
  } catch (cause) {
    throw new BadRequestError("The image cannot be read: send a PNG, JPEG, GIF, BMP or TIFF file.", {
      cause,
    });
  }
}
