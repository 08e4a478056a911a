import { randomBytes, randomUUID } from "node:crypto";

process.on("message", () => process.send([randomUUID(), randomBytes(8).toString("hex"), Math.random()]));
