import { posix } from "node:path";
import { invalidApp } from "./app-errors.ts";

/** Linux' limit for one name; the whole path leaves room for the folder that it is unpacked into. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 3000;

/** Whether an entry is only what a file manager left in an archive. */
export function isLeftover(name: string): boolean {
  const steps = name.replace(/^(\.?\/)+/, "").split("/");
  return steps[0] === "__MACOSX" || steps.findLast((step) => step !== "") === ".DS_Store";
}

/**
 * The normal form of an entry's name: relative, inside the app, without a slash at its end.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID.
 */
export function checkedName(name: string): string {
  const normal = posix.normalize(name).replace(/\/+$/, "");
  const outside = normal === ".." || normal.startsWith("../") || normal.startsWith("/");
  const shown = JSON.stringify(name.slice(0, 200));
  if (name === "" || outside || /[\0\\]/.test(name)) {
    throw invalidApp(`The archive holds a file named ${shown}: names are relative and stay inside.`);
  }
  if (name.includes("\ufffd")) {
    throw invalidApp(
      `The archive holds a file named ${shown}, which is no UTF-8. Rename it, or pack it anew.`,
    );
  }
  const long = normal.split("/").some((step) => Buffer.byteLength(step) > MAX_NAME_BYTES);
  if (long || Buffer.byteLength(normal) > MAX_PATH_BYTES) {
    throw invalidApp(
      `The archive holds a file named ${shown}, which is too long: ${MAX_NAME_BYTES} bytes a name, ${MAX_PATH_BYTES} a path.`,
    );
  }
  return normal === "" ? "." : normal;
}
