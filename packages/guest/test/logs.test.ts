import { expect, it } from "vitest";
import { RuntimeProcess } from "./runtime-process.ts";

it("what is printed is told with its stream, its level, and the invocation that printed it, in its order", async () => {
  await using runtime = await RuntimeProcess.start(
    {
      "index.mjs": `
        console.warn("at import");
        export const handler = async ({ how }) => {
          console.log("log of %s", how);
          console.error("error");
          process.stdout.write("no line end");
          setTimeout(() => console.info("late"), 50);
          if (how === "fail") throw new RangeError("too far");
          if (how === "reject") setTimeout(() => Promise.reject(new Error("rejected late")), 10);
        };`,
    },
    { logs: true },
  );
  runtime.loadFunction({ entry: "index.mjs" });
  await runtime.next("functionReady");
  const first = await runtime.invoke({ how: "reject" });
  const second = await runtime.invoke({ how: "fail" });
  await expect.poll(() => runtime.logged.filter(({ text }) => text === "late\n")).toHaveLength(2);
  const of = (id: number) =>
    runtime.logged
      .filter(({ invocation }) => invocation === id)
      .map(({ stream, level, text }) => [stream, level, text]);
  expect(of(0)).toEqual([["stderr", "warn", "at import\n"]]);
  const printed = (how: string) => [
    ["stdout", "info", `log of ${how}\n`],
    ["stderr", "error", "error\n"],
    ["stdout", "", "no line end"],
  ];
  const late = ["stdout", "info", "late\n"];
  expect(of(first.id).slice(0, 3)).toEqual(printed("reject"));
  expect(of(first.id).slice(3)).toEqual(
    expect.arrayContaining([late, ["stderr", "error", expect.stringContaining("Error: rejected late")]]),
  );
  expect(of(second.id)).toEqual([
    ...printed("fail"),
    ["stderr", "error", expect.stringMatching(/^Request request failed: RangeError: too far\n.*index\.mjs/s)],
    late,
  ]);
  expect(runtime.output).toBe("");
});
