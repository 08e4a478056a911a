import assert from "node:assert/strict";
import { copyFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { type Microvm, restoreMicrovm, type Statistics } from "@firn/vmm";
import { bootGuest, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";
import { GuestConsole } from "./guest-console.ts";

// The first program of the guest, a shell, reads this from the app disk. It uses 64 MiB, frees them, and waits for its host.
const SCRIPT = `
(exec -a mount /bin/sh -t proc proc /proc)
mount -t sysfs sys /sys
mount -t tmpfs -o size=100m tmp /tmp
say() { echo "firn-test $*"; }
ifconfig eth0 up
say carrier $(cat /sys/class/net/eth0/carrier)
say size $(cat /sys/class/block/vdc/size)
yes firn | head -c 67108864 > /tmp/fill
say used
rm /tmp/fill
while true; do
  sleep 1
  say free $(sed -n 's/^MemTotal: *//p' /proc/meminfo)
done
`;
const BALLOON_BYTES = 64 << 20;
const DISK_BYTES = 1 << 20;

let folder: string;

before(async () => {
  folder = await temporaryFolder();
});

after(() => rm(folder, { recursive: true, force: true }));

async function statisticsWhen(microvm: Microvm, wanted: (now: Statistics) => boolean): Promise<Statistics> {
  const giveUp = Date.now() + 120_000;
  for (;;) {
    const now = await microvm.statistics();
    if (wanted(now)) return now;
    assert.ok(Date.now() < giveUp, JSON.stringify(now));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

it("has Linux give back what it has freed, and as much as is asked for, in a clone too", async () => {
  const [script, disk] = [join(folder, "script"), join(folder, "scratch")];
  await writeFile(script, SCRIPT.padEnd(4096, "\n"));
  await writeFile(disk, "");
  await truncate(disk, DISK_BYTES);
  // A card without a link, and an empty disk: what every base has.
  await using source = await bootGuest({
    appDiskPath: script,
    scratchDiskPath: disk,
    net: {},
    balloon: true,
    console: true,
    kernelParameters: ["init=/bin/sh", "--", "/dev/vdb"],
  });
  const console = new GuestConsole(source, "firn-test");
  assert.equal(await console.next(), "carrier 0");
  assert.equal(await console.next(), `size ${DISK_BYTES / 512}`);
  assert.equal(await console.next(), "used");
  const freed = await statisticsWhen(source, (now) => now.balloonBytesReclaimed >= 32 << 20);
  assert.equal(freed.balloonBytes, 0);

  await source.setBalloonBytes(BALLOON_BYTES);
  await statisticsWhen(source, (now) => now.balloonBytes === BALLOON_BYTES);
  await assert.rejects(source.setBalloonBytes(2 ** 40), { code: "FIRN_CONFIG", message: /does not fit/ });

  await source.pause();
  const checksum = await source.memoryChecksum();
  const files = snapshotFiles(folder, "balloon");
  await source.snapshot(files);
  const copy = join(folder, "copy");
  await copyFile(disk, copy);
  await using clone = await restoreMicrovm({
    layers: [await layerReference(files.layerPath)],
    statePath: files.statePath,
    rootDiskPath: ROOT_DISK,
    appDisk: await layerReference(script),
    scratchDiskPath: copy,
    net: {},
    paused: true,
  });
  assert.equal(await clone.memoryChecksum(), checksum);
  await clone.resume();
  assert.equal((await clone.statistics()).balloonBytes, BALLOON_BYTES);
  await clone.setBalloonBytes(0);
  await statisticsWhen(clone, (now) => now.balloonBytes === 0);
});

it("refuses a balloon's size where there is no balloon", async () => {
  await using microvm = await bootGuest();
  await assert.rejects(microvm.setBalloonBytes(4096), { code: "FIRN_CONFIG", message: /no balloon/ });
  await assert.rejects(microvm.setBalloonBytes(-1), { code: "FIRN_VMM_OPTIONS" });
});
