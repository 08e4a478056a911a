import { PDFDocument, rgb, StandardFonts } from "pdf-lib";

/** Writes a document of three pages. */
export const handler = async ({ name }) => {
  const document = await PDFDocument.create();
  const font = await document.embedFont(StandardFonts.TimesRoman);
  for (const number of [1, 2, 3]) {
    const page = document.addPage([400, 300]);
    page.drawText(`Dear ${name}, this is page ${number}.`, {
      x: 40,
      y: 200,
      size: 20,
      font,
      color: rgb(0, 0.5, 0.7),
    });
    page.drawRectangle({ x: 40, y: 40, width: 30 * number, height: 50, borderWidth: 2 });
  }
  const bytes = await document.save();
  return { answered: Buffer.from(bytes).toString("latin1", 0, 5) === "%PDF-" };
};
