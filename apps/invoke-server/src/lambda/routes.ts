import type { FunctionRecord } from "@firn/functions";
import { type Context, Hono } from "hono";
import { guardControl } from "../access/guards.ts";
import type { Dependencies } from "../dependencies.ts";
import { parseFunctionName } from "../function-name.ts";
import { ServiceError } from "../service-error.ts";
import { readAnnotations } from "./annotations.ts";
import { functionConfiguration } from "./configuration.ts";
import { createFunction, updateFunctionCode } from "./deploy.ts";
import { invokeEvent } from "./invoke.ts";
import { invokeEventStream } from "./invoke-stream.ts";

/** The part of the AWS Lambda API that is spoken here; AWS clients reach it by an endpoint override. */
export function lambdaRoutes(dependencies: Dependencies) {
  const { host, access } = dependencies;
  const guard = guardControl(access);
  const list = (context: Context) => {
    const newest = host.catalog.list().map(({ name }) => host.newest(name));
    return context.json({
      Functions: newest.map((one) => functionConfiguration(one, host.runtimes)),
      NextMarker: null,
    });
  };
  return new Hono()
    .use("/:date{20\\d\\d-\\d\\d-\\d\\d}/*", guard)
    .get("/2015-03-31/functions", list)
    .get("/2015-03-31/functions/", list)
    .post("/2015-03-31/functions", (context) => createFunction(dependencies, context))
    .put("/2015-03-31/functions/:name/code", (context) =>
      updateFunctionCode(dependencies, context, requested(context)),
    )
    .get("/2015-03-31/functions/:name", (context) => {
      const record = requested(context);
      const { Tags } = readAnnotations(record.annotations);
      const Configuration = functionConfiguration(record, host.runtimes);
      const Code = { RepositoryType: "Firn", Location: "" };
      return context.json({ Configuration, Code, ...(Tags === undefined ? {} : { Tags }) });
    })
    .get("/2015-03-31/functions/:name/configuration", (context) =>
      context.json(functionConfiguration(requested(context), host.runtimes)),
    )
    .delete("/2015-03-31/functions/:name", async (context) => {
      await host.remove(requested(context).name);
      return context.body(null, 204);
    })
    .post("/2015-03-31/functions/:name/invocations", (context) =>
      invokeEvent(dependencies, nameOf(context), context),
    )
    .post("/2021-11-15/functions/:name/response-streaming-invocations", (context) =>
      invokeEventStream(dependencies, nameOf(context), context),
    )
    .all("/:date{20\\d\\d-\\d\\d-\\d\\d}/*", ({ req }) =>
      notSupported(`${req.method} ${req.path} of the Lambda API`, "the README of the server lists what is"),
    );

  function requested(context: Context): FunctionRecord {
    return host.newest(nameOf(context));
  }

  function nameOf(context: Context): string {
    return parseFunctionName(context.req.param("name") ?? "", context.req.query("Qualifier"));
  }
}

function notSupported(what: string, instead: string): never {
  throw new ServiceError("FIRN_NOT_SUPPORTED", `${what} is not supported yet: ${instead}.`);
}
