import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { FirnVmmError } from "./errors.ts";

/** Adds to a FIRN_KVM_UNAVAILABLE error what to do on this machine; returns any other error as it is. */
export async function adviseOnKvm(error: FirnVmmError): Promise<FirnVmmError> {
  if (error.code !== "FIRN_KVM_UNAVAILABLE") return error;
  const message = `${error.message.replace(/\.?$/, ".")} ${await advice()}`;
  return new FirnVmmError(error.code, message, { cause: error });
}

async function advice(): Promise<string> {
  try {
    await access("/dev/kvm", constants.F_OK);
  } catch {
    return (
      "There is no /dev/kvm: load the kvm module, switch virtualization on in the firmware, or, in a cloud, take a " +
      "machine that allows it (a metal instance)."
    );
  }
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "/dev/kvm is not accessible: add this user to the group kvm (`sudo usermod -aG kvm $USER`) and log in again.";
  }
  return "/dev/kvm is there and accessible; its kernel may be too old, or another hypervisor may hold it.";
}
