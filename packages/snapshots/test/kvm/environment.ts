import assert from "node:assert/strict";

/** What the environment says, as `npm test -- binding` sets it. */
export function fromEnvironment(variable: string): string {
  const path = process.env[variable];
  assert.ok(path, `${variable} must name a file or folder, as \`npm test -- binding\` does.`);
  return path;
}
