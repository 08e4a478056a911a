import { expect, it } from "vitest";

it("importing the package loads no addon, on any platform", async () => {
  const { bootMicrovm } = await import("./index.ts");
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
  expect(sharedObjects.filter((path) => path.includes("firn-vmm"))).toEqual([]);
  expect(bootMicrovm).toBeTypeOf("function");
});
