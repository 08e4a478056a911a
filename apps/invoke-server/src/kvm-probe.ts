import { access, constants } from "node:fs/promises";

/** Whether microVMs can run here, and if not, why. */
export interface KvmStatus {
  readonly available: boolean;
  readonly reason?: string;
}

/** Looks whether this machine has a KVM that this process may use. */
export async function probeKvm(): Promise<KvmStatus> {
  if (process.platform !== "linux" || process.arch !== "arm64") {
    const machine = `${process.arch} ${process.platform}`;
    return { available: false, reason: `This is ${machine}: microVMs run on arm64 Linux with KVM.` };
  }
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    return { available: true };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === "ENOENT"
        ? "/dev/kvm is missing: switch virtualization on, or use a host that has it."
        : `/dev/kvm cannot be opened (${code}): add this user to the group kvm.`;
    return { available: false, reason };
  }
}
