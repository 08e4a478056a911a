import { describe, expect, it } from "vitest";
import { parseFunctionName } from "./function-name.ts";

describe("parseFunctionName()", () => {
  it.each([
    ["hello"],
    ["hello:$LATEST"],
    ["arn:aws:lambda:eu-central-1:123456789012:function:hello"],
    ["arn:aws:lambda:local:000000000000:function:hello:$LATEST"],
    ["123456789012:function:hello"],
    ["123456789012:hello"],
  ])("finds hello in %s", (text) => {
    expect(parseFunctionName(text)).toBe("hello");
  });

  it.each([
    ["", undefined],
    ["a/b", undefined],
    ["../a", undefined],
    ["a".repeat(65), undefined],
    ["a:1", undefined],
    ["a", "prod"],
    ["a:b:c", undefined],
  ])("refuses %s with qualifier %s", (text, qualifier) => {
    expect(() => parseFunctionName(text, qualifier)).toThrow(
      expect.objectContaining({ code: "FIRN_INVALID_NAME" }),
    );
  });
});
