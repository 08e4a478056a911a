import ts from "typescript";

/** Compiles a module of some fifty lines. */
export const handler = async ({ name }) => {
  const { outputText, diagnostics } = ts.transpileModule(source(name), {
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ES2018, module: ts.ModuleKind.CommonJS },
  });
  return { answered: diagnostics.length === 0 && outputText.includes(`class ${name} {`) };
};

const source = (name) => `
import { readFile } from "node:fs/promises";
export interface Shape { readonly kind: "circle" | "square"; readonly size: number; label?: string }
type Area<T extends Shape> = T extends { kind: "circle" } ? number : bigint;
enum Color { Red = 1, Green, Blue }
export class ${name} {
  static #count = 0;
  readonly #shapes: Shape[] = [];
  constructor(private readonly color: Color = Color.Red, ...shapes: Shape[]) {
    ${name}.#count += 1;
    this.#shapes.push(...shapes);
  }
  get count(): number { return ${name}.#count; }
  async *areas(): AsyncGenerator<number> {
    for (const { kind, size, label = "none" } of this.#shapes) {
      const area = kind === "circle" ? Math.PI * size ** 2 : size ** 2;
      if (label?.length > 3) yield area;
      else await Promise.resolve(label ?? "nothing");
    }
  }
  async read(path: string): Promise<Shape | undefined> {
    try {
      return JSON.parse(await readFile(path, "utf8")) as Shape;
    } catch (error: unknown) {
      return undefined;
    } finally {
      this.log\`read \${path} for \${this.color}\`;
    }
  }
  private log(strings: TemplateStringsArray, ...values: unknown[]): void {
    console.log(String.raw({ raw: strings }, ...values));
  }
}
export const twice = <T,>(value: T, work: (value: T) => T): T => work(work(value));
export default function area<T extends Shape>(shape: T): Area<T> {
  switch (shape.kind) {
    case "circle": return (Math.PI * shape.size ** 2) as Area<T>;
    default: return BigInt(shape.size) as unknown as Area<T>;
  }
}
`;
