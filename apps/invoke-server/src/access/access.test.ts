import { describe, expect, it } from "vitest";
import { Access } from "./access.ts";
import { parseHost } from "./host-names.ts";

describe("Access", () => {
  it.each([
    ["127.0.0.1:8080", {}, true],
    ["localhost", {}, true],
    ["app.localhost:1", {}, true],
    ["[::1]:8080", {}, true],
    ["LOCALHOST:8080", {}, true],
    ["evil.example:8080", {}, false],
    ["localhost.evil.example", {}, false],
    ["127.0.0.1.evil.example", {}, false],
    ["10.0.0.7:8080", {}, true],
    ["10.0.0.7:8080", { listen: "127.0.0.1" }, false],
    ["10.0.0.7:8080", { listen: "10.0.0.7" }, true],
    ["10.0.0.7:8080", { listen: "0.0.0.0" }, true],
    ["[fd00::7]:8080", { listen: "::" }, true],
    ["pi.local", { listen: "0.0.0.0" }, false],
    ["pi.local", { allowedHosts: ["PI.local"] }, true],
    ["a.example.com", { allowedHosts: ["*.example.com"] }, true],
    ["example.com", { allowedHosts: ["*.example.com"] }, false],
    ["badexample.com", { allowedHosts: ["*.example.com"] }, false],
    ["api.example.com", { functionHosts: ["api.example.com"] }, false],
  ])("control routes for %s with %j: %s", (host, settings, allowed) => {
    expect(new Access(settings).isControlHost(parseHost(host)?.name ?? "")).toBe(allowed);
  });

  it.each([
    ["evil.example", { listen: "127.0.0.1" }, false],
    ["evil.example", { listen: "localhost" }, false],
    ["api.example.com", { listen: "127.0.0.1", functionHosts: ["api.example.com"] }, true],
    ["pi.local", { listen: "0.0.0.0" }, true],
    ["pi.local", { listen: "0.0.0.0", functionHosts: [] }, false],
  ])("function URLs for %s with %j: %s", (host, settings, allowed) => {
    expect(new Access(settings).isFunctionHost(parseHost(host)?.name ?? "")).toBe(allowed);
  });

  it.each(["", "a b", "user@127.0.0.1", "127.0.0.1/x", "127.0.0.1#", "[::1", undefined])(
    "%j is no host",
    (header) => {
      expect(parseHost(header)).toBeUndefined();
    },
  );
});
