import { describe, expect, it } from "vitest";
import { failedResponse } from "./failure.ts";

const failure = { errorMessage: "connect to db.internal failed", stack: "Error\n    at /srv/index.js:1" };

describe("failedResponse()", () => {
  it("tells a stranger that the function failed, and nothing of why", async () => {
    const response = failedResponse("shop", failure, false);
    const text = await response.text();
    expect(response.status).toBe(502);
    expect(JSON.parse(text)).toMatchObject({ Type: "FunctionError", code: "FIRN_FUNCTION_ERROR" });
    expect(text).not.toMatch(/db\.internal|srv/);
  });

  it("tells those who may know why", async () => {
    const body = await failedResponse("shop", failure, true).json();
    expect(body).toMatchObject({
      Message: "Function shop failed: connect to db.internal failed",
      Stack: failure.stack,
    });
  });
});
