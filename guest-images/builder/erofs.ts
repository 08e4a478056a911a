import { run } from "../../setup/command.ts";

const uuid = "6669726e-0000-4000-8000-000000000001";

/**
 * Makes an erofs image of a folder. Nothing of the builder's gets into it: no user, no time, no random identifier, no permissions of
 * its umask.
 */
export async function makeErofs(root: string, image: string): Promise<void> {
  await run("chmod", ["-R", "u=rwX,go=rX", root]);
  await run("mkfs.erofs", ["--quiet", "--all-root", "-T0", "-x-1", `-U${uuid}`, image, root]);
}
