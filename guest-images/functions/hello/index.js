import { randomBytes, randomUUID } from "node:crypto";

const importedAt = new Date().toISOString();
let invocations = 0;

/**
 * Greets. `show: "random"`, in the event or the query, adds what differs in every clone of the snapshot.
 *
 * @param {{ name?: string, show?: string, queryStringParameters?: { name?: string, show?: string } }} event An event of one's own, or
 *   that of an HTTP request.
 * @param {{ rehearsal?: boolean }} [context] Tells whether a deploy has it answer a sample, which is not counted.
 */
export default async function hello(event, context) {
  const { name = "world", show } = event.queryStringParameters ?? event;
  if (context?.rehearsal !== true) invocations += 1;
  const greeting = { greeting: `Hello, ${name}!` };
  if (show !== "random") return greeting;
  return {
    ...greeting,
    uuid: randomUUID(),
    randomBytes: randomBytes(16).toString("hex"),
    mathRandom: Math.random(),
    date: new Date().toISOString(),
    importedAt,
    invocations,
  };
}
