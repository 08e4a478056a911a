import { Jimp } from "jimp";
import { expect, it } from "vitest";
import { handler } from "./index.js";

it("handler() scales a picture to each width", async () => {
  const picture = await new Jimp({ width: 100, height: 50, color: 0x336699ff }).getBuffer("image/png");
  const { images } = await handler({ image: picture.toString("base64"), widths: [50, 10] });
  expect(images.map(({ width, height }) => [width, height])).toEqual([
    [50, 25],
    [10, 5],
  ]);
  const first = await Jimp.read(Buffer.from(images[0]?.image ?? "", "base64"));
  expect([first.width, first.getPixelColor(25, 12)]).toEqual([50, 0x336699ff]);
  expect((await handler({ widths: [64] })).images).toMatchObject([{ width: 64, height: 48 }]);
});

it.each([[[0]], [[1.5]], [new Array(9).fill(1)], ["64"]])(
  "handler() refuses the widths %j",
  async (widths) => {
    await expect(handler({ widths: widths as number[] })).rejects.toThrow(RangeError);
  },
);
