/** One entry of an initial RAM file system. */
export interface CpioEntry {
  path: string;
  /** Type and permissions, as in `stat`. */
  mode: number;
  /** Contents of a file, target of a link. */
  data?: string | Uint8Array;
}

export const modes = { directory: 0o040755, file: 0o100644, program: 0o100755, link: 0o120777 } as const;

/** Packs entries as the kernel reads them: cpio in the "newc" format, everything owned by root. */
export function packCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const [index, entry] of [...entries, { path: "TRAILER!!!", mode: 0 }].entries()) {
    const data = Buffer.from(("data" in entry ? entry.data : undefined) ?? "");
    const name = Buffer.from(`${entry.path}\0`);
    const links = entry.mode === modes.directory ? 2 : 1;
    // inode, mode, uid, gid, links, mtime, size, two device numbers twice, length of the name, checksum
    const fields = [index + 1, entry.mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(data));
  }
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
