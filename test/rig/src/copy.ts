import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { quote } from "./ssh.ts";

const blockBytes = 4096;
const chunkBytes = 1 << 20;
const zeros = Buffer.alloc(blockBytes);

/**
 * Lines for the ARM host's shell that copy a file, or a folder with all in it, from where both machines see it. Of a sparse file
 * only what is in it is read: a directory that is shared with the rig passes holes on as zeros, and slowly.
 */
export async function copyLines(source: string, target: string): Promise<string[]> {
  const found = await stat(source);
  if (found.isDirectory()) {
    const names = (await readdir(source)).sort();
    const lines = names.map((name) => copyLines(join(source, name), join(target, name)));
    return [`mkdir -p ${quote(target)}`, ...(await Promise.all(lines)).flat()];
  }
  const [from, to] = [quote(source), quote(target)];
  if (found.blocks * 512 >= found.size / 2) return [`cp ${from} ${to}`];
  const runs = (await dataRuns(source)).map(
    ([first, count]) =>
      `dd if=${from} of=${to} bs=${blockBytes} skip=${first} seek=${first} count=${count} conv=notrunc status=none`,
  );
  return [`truncate -s ${found.size} ${to}`, ...runs];
}

/** Runs of blocks that are not zero: the first one, and how many. */
async function dataRuns(file: string): Promise<[number, number][]> {
  const runs: [number, number][] = [];
  const handle = await open(file);
  try {
    const chunk = Buffer.alloc(chunkBytes);
    for (let block = 0; ; ) {
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, block * blockBytes);
      if (bytesRead === 0) return runs;
      for (let at = 0; at < bytesRead; at += blockBytes, block += 1) {
        const bytes = chunk.subarray(at, Math.min(at + blockBytes, bytesRead));
        if (bytes.equals(zeros.subarray(0, bytes.length))) continue;
        const last = runs.at(-1);
        if (last !== undefined && last[0] + last[1] === block) last[1] += 1;
        else runs.push([block, 1]);
      }
    }
  } finally {
    await handle.close();
  }
}
