import { open } from "node:fs/promises";
import { run } from "../../setup/command.ts";

/** The size of a scratch disk in bytes. The file is sparse: it takes some hundred KiB. */
export const scratchBytes: number = 512 << 20;

const uuid = "6669726e-0000-4000-8000-000000000002";
const features = [
  // The disk ends with its microVM: nobody reads it after a crash.
  "^has_journal",
  // Nobody lets it grow.
  "^resize_inode",
];
const identity = [`-U`, uuid, "-E", `hash_seed=${uuid},root_owner=0:0`];
// The time in the superblock and in the root directory: any but now, and not 0, which means now.
const environment = { E2FSPROGS_FAKE_TIME: "1" };
/** As /tmp is, and without what a repair needs: the root directory is what a function sees. */
const finish = "set_inode_field <2> mode 041777\nrmdir lost+found\n";

/** Makes an empty ext4 file system in a sparse file: the same bytes each time, without root. */
export async function makeScratch(image: string): Promise<void> {
  const file = await open(image, "w");
  await file.truncate(scratchBytes);
  await file.close();
  const options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", features.join(",")];
  await run("/sbin/mke2fs", [...options, ...identity, image], { env: environment });
  await run("/sbin/debugfs", ["-w", "-f", "-", image], { env: environment, input: finish });
}
