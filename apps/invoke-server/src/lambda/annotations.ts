import { z } from "zod";

/** Under which name the catalog keeps what follows. */
const KEY = "aws-lambda";

const schema = z.object({
  Runtime: z.string().optional(),
  Role: z.string().optional(),
  Description: z.string().optional(),
  Tags: z.record(z.string(), z.string()).optional(),
  SnapStart: z.object({ ApplyOn: z.string().optional() }).optional(),
});

/** What a client of the Lambda API said of a function that means nothing here, to be given back. */
export type LambdaAnnotations = z.infer<typeof schema>;

/** As annotations of a version in the catalog. */
export function writeAnnotations(said: LambdaAnnotations): Record<string, string> {
  return { [KEY]: JSON.stringify(schema.parse(said)) };
}

/** Out of a version's annotations; those of a function that was deployed in another way are empty. */
export function readAnnotations(annotations: Readonly<Record<string, string>>): LambdaAnnotations {
  const text = Object.hasOwn(annotations, KEY) ? annotations[KEY] : undefined;
  return text === undefined ? {} : schema.parse(JSON.parse(text));
}
