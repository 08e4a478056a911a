import { rm } from "node:fs/promises";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { configForTest } from "../test/serve.ts";
import { openInvokeService } from "./service.ts";

describe("openInvokeService()", () => {
  it("gives an app that works below a path of another one, and says there too that it drains", async () => {
    const { root, config, log } = await configForTest();
    try {
      await using service = await openInvokeService(config, log);
      const outer = new Hono().get("/", (context) => context.text("outer")).route("/firn", service.app);
      const ask = async (path: string) => {
        const response = await outer.request(`http://localhost${path}`, { headers: { host: "localhost" } });
        return { status: response.status, text: await response.text() };
      };
      await service.prepare();
      expect(await ask("/firn/functions")).toEqual({ status: 200, text: '{"functions":[]}' });
      expect((await ask("/firn/url/nobody/a")).text).toContain("FIRN_FUNCTION_NOT_FOUND");
      expect((await ask("/firn/health/live")).status).toBe(200);
      service.drain();
      expect(await ask("/firn/health/ready")).toEqual({ status: 503, text: '{"status":"draining"}' });
      expect(JSON.parse((await ask("/firn/health")).text)).toMatchObject({ status: "draining" });
      expect((await ask("/firn/health/live")).status).toBe(200);
      for (const path of ["/functions", "/url/nobody", "/2015-03-31/functions"]) {
        expect((await ask(`/firn${path}`)).text).toContain("FIRN_DRAINING");
      }
      expect(await ask("/")).toEqual({ status: 200, text: "outer" });
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
