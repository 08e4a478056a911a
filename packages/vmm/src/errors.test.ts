import { expect, it } from "vitest";
import { FirnVmmError, parseNativeError, toFirnVmmError } from "./errors.ts";

it("parseNativeError() reads code and sentence, over several lines", () => {
  const error = parseNativeError("FIRN_VMM_CRASHED: ended; stderr: a\nb: c");
  expect(error).toBeInstanceOf(FirnVmmError);
  expect(error).toMatchObject({
    name: "FirnVmmError",
    code: "FIRN_VMM_CRASHED",
    message: "ended; stderr: a\nb: c",
  });
});

it.each(["something else", "FIRN_NO_SUCH_CODE: text", "FIRN_IO without a colon", ""])(
  "parseNativeError() keeps the whole text when it has no known code: %j",
  (text) => expect(parseNativeError(text)).toMatchObject({ code: "FIRN_VMM_INTERNAL", message: text }),
);

it("toFirnVmmError() returns an error of its own kind as it is", () => {
  const error = new FirnVmmError("FIRN_TIMEOUT", "too slow");
  expect(toFirnVmmError(error)).toBe(error);
  expect(toFirnVmmError(new Error("FIRN_KVM: no"))).toMatchObject({ code: "FIRN_KVM", message: "no" });
  expect(toFirnVmmError("thrown text")).toMatchObject({ code: "FIRN_VMM_INTERNAL", message: "thrown text" });
});
