import type * as generated from "@firn/vmm-napi";
import { expectTypeOf, it } from "vitest";
import type * as binding from "./binding.ts";

it("the addon has the types that this package was written against", () => {
  expectTypeOf<generated.VmmProcess>().toExtend<binding.VmmProcess>();
  expectTypeOf<ConstructorParameters<typeof generated.VmmProcess>>().toEqualTypeOf<
    ConstructorParameters<binding.Binding["VmmProcess"]>
  >();
  expectTypeOf<generated.Statistics>().toEqualTypeOf<Awaited<ReturnType<binding.VmmProcess["statistics"]>>>();
  expectTypeOf<generated.JailReport>().toEqualTypeOf<Awaited<ReturnType<binding.VmmProcess["jailed"]>>>();
  expectTypeOf<generated.Prepared>().toEqualTypeOf<binding.Prepared>();
  expectTypeOf<generated.SnapshotReport>().toEqualTypeOf<
    Awaited<ReturnType<binding.VmmProcess["snapshot"]>>
  >();
});
