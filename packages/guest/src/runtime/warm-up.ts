import type { Invoke, LoadFunction } from "@firn/protocol";
import type { Handler } from "./handler.ts";
import { Invocations } from "./invocations.ts";
import type { EventLoop } from "./lambda/event-loop.ts";
import { Reply } from "./payloads/reply.ts";
import { RequestPayload } from "./payloads/request-payload.ts";

/** Handlers of both shapes. */
const HANDLERS: readonly Handler[] = [
  { shape: "event", name: "", handle: async (event) => event, parameters: 1, isBareDefault: false },
  {
    shape: "fetch",
    name: "",
    fetch: async (request) => new Response(await request.text(), { headers: { "x-warm": "1" } }),
  },
];

/**
 * Sends invocations of both kinds through handlers of both shapes, before a snapshot without a function: then fetch and what else
 * Node.js loads late is in the base that all functions share, and in none of their diffs.
 */
export async function warmUpRuntime(eventLoop: EventLoop): Promise<void> {
  const load: LoadFunction = {
    entry: "",
    handler: "",
    environment: {},
    readyTimeoutMs: 0,
    functionName: "warm-up",
    memoryMib: 0,
  };
  const invoke: Omit<Invoke, "kind"> = {
    id: 0,
    requestId: "",
    timeoutMs: 10_000,
    payload: new TextEncoder().encode("{}"),
    method: "POST",
    url: "http://function/",
    headers: [{ name: "content-type", value: "application/json" }],
  };
  const invocations = new Invocations(eventLoop);
  for (const handler of HANDLERS) {
    for (const kind of ["event", "http"] as const) {
      const payload = new RequestPayload(invoke.payload, true, () => {});
      const reply = new Reply(invoke.id, () => Promise.resolve());
      await invocations.run({ invoke: { ...invoke, kind }, payload, reply, handler, load });
    }
  }
}
