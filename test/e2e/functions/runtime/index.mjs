const importedAt = Date.now();
let invocations = 0;

export const handler = async () => {
  invocations += 1;
  return { version: process.version, importedAt, invocations, uuid: crypto.randomUUID() };
};
