import assert from "node:assert/strict";
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { restoreMicrovm } from "@firn/vmm";
import { bootGuest, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";
import { GuestConsole } from "./guest-console.ts";
import { Network } from "./network.ts";

// The first program of the guest, a shell, reads this from the app disk. It says what it finds on the console; `devmem` rings the
// doorbell. Programs are the shell itself under another name, which it finds by /proc.
const SCRIPT = `
(exec -a mount /bin/sh -t proc proc /proc)
mount -t sysfs sys /sys
say() { echo "firn-test $*"; }
say mac $(cat /sys/class/net/eth0/address)
say size $(cat /sys/class/block/vdc/size) read-only $(cat /sys/class/block/vdc/ro) $(cat /sys/class/block/vda/ro)
ifconfig eth0 192.0.2.2 netmask 255.255.255.0 up
ping -c 3 -W 20 192.0.2.1 > /dev/null && say ping ok
say random $(head -c 64 /dev/hwrng | md5sum)
yes firn | head -c 1048576 | dd of=/dev/vdc bs=64k conv=fsync 2> /dev/null && say written
devmem 0x0a000010 32 2
echo 3 > /proc/sys/vm/drop_caches
say carrier $(cat /sys/class/net/eth0/carrier)
say disk $(head -c 1048576 /dev/vdc | md5sum)
head -c 1024 /dev/hwrng > /dev/null
say random $(head -c 64 /dev/hwrng | md5sum)
ping -c 3 -W 20 192.0.2.1 > /dev/null && say ping ok
say done
devmem 0x0a000010 32 3
`;
const DISK_BYTES = 2 << 20;

let folder: string;

before(async () => {
  folder = await temporaryFolder();
});

after(() => rm(folder, { recursive: true, force: true }));

it("gives Linux a scratch disk, a network card and random numbers, also after a restore", async () => {
  const [script, disk] = [join(folder, "script"), join(folder, "scratch")];
  await writeFile(script, SCRIPT.padEnd(4096, "\n"));
  await writeFile(disk, Buffer.alloc(DISK_BYTES));
  await using network = await Network.listen(join(folder, "network.socket"));
  await using source = await bootGuest({
    appDiskPath: script,
    scratchDiskPath: disk,
    net: { socketPath: network.socketPath, mac: "02:00:00:00:12:34" },
    rng: true,
    console: true,
    kernelParameters: ["init=/bin/sh", "--", "/dev/vdb"],
  });
  const console = new GuestConsole(source, "firn-test");
  assert.equal(await console.next(), "mac 02:00:00:00:12:34");
  assert.equal(await console.next(), `size ${DISK_BYTES / 512} read-only 0 1`);
  assert.equal(await console.next(), "ping ok");
  const random = [await console.next()];
  assert.equal(await console.next(), "written");
  assert.equal((await source.waitForDoorbell()).event, "base-ready");
  assert.equal((await readFile(disk)).subarray(0, 10).toString(), "firn\nfirn\n");
  assert.equal(network.pings, 3);
  const statistics = await source.statistics();
  assert.ok(
    statistics.diskBytesWritten >= 1 << 20 && statistics.randomBytes >= 64,
    JSON.stringify(statistics),
  );
  assert.ok(statistics.netFramesSent >= 4 && statistics.netFramesReceived >= 4, JSON.stringify(statistics));

  const files = snapshotFiles(folder, "devices");
  await source.snapshot(files);
  const layer = await layerReference(files.layerPath);
  const restore = { layers: [layer], statePath: files.statePath, rootDiskPath: ROOT_DISK };
  for (const name of ["first", "second"]) {
    const copy = join(folder, `${name}.scratch`);
    await copyFile(disk, copy);
    await using own = await Network.listen(join(folder, `${name}.socket`));
    await using clone = await restoreMicrovm({
      ...restore,
      appDisk: await layerReference(script),
      scratchDiskPath: copy,
      net: { socketPath: own.socketPath },
      console: true,
    });
    const console = new GuestConsole(clone, "firn-test");
    assert.equal(await console.next(), "carrier 1");
    assert.match(await console.next(), /^disk [0-9a-f]{32}/);
    random.push(await console.next());
    assert.equal(await console.next(), "ping ok");
    assert.equal(await console.next(), "done");
    assert.equal(own.pings, 3);
  }
  assert.equal(new Set(random).size, 3, `clones read different random numbers: ${random}`);
  assert.equal(network.pings, 3, "clones have networks of their own");
});
