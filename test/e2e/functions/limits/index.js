import { spawn, spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";

const kinds = {
  memory() {
    const kept = [];
    for (;;) kept.push(Buffer.alloc(1 << 20, kept.length));
  },
  "memory of a child": () => {
    const eat = "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, kept.length))";
    return new Promise((resolve) =>
      spawn(process.execPath, ["-e", eat]).on("exit", () => resolve("it went on")),
    );
  },
  // Each shell starts two others, and they two others.
  processes() {
    spawnSync("/bin/sh", ["-c", "f() { f | f & }; f; sleep 1"], { timeout: 10_000 });
    return "fine";
  },
  disk() {
    try {
      for (let file = 0; ; file++) writeFileSync(`/tmp/${file}`, Buffer.alloc(16 << 20, 1));
    } catch (error) {
      return error.code;
    }
  },
  files: () => readdirSync("/tmp").filter((name) => name !== "lost+found"),
  flood() {
    for (let line = 0; line < 10_000; line++) console.log(`${"❄".repeat(100)} ${line}`);
    return "fine";
  },
};

export default ({ kind }) => (kind === undefined ? "fine" : kinds[kind]());
