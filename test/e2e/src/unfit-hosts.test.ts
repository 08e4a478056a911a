import { type ArmHost, openArmHost } from "@firn/rig";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zipOf } from "../../../packages/functions/test/archives.ts";
import { refuseServer, type ServerSettings, superviseServer, untilHealth } from "./arm-server.ts";
import { FOLDER, PORT, RIG_NAME } from "./environment.ts";

/** "nobody", who may not open /dev/kvm. */
const NOBODY = 65_534;

let host: ArmHost;
beforeAll(async () => {
  host = await openArmHost({ name: RIG_NAME, keep: true });
});
afterAll(() => host.close());

const app = zipOf([{ name: "index.js", contents: "export default () => 1" }]);

async function deployTo(settings: Omit<ServerSettings, "port">) {
  const server = await superviseServer(host, { port: PORT + 1, ...settings });
  try {
    const body = app as Uint8Array<ArrayBuffer>;
    const response = await fetch(`${server.url}/functions/a`, { method: "PUT", body });
    const health = await untilHealth(server.url, ({ status }) => status !== "starting", 60_000);
    return { status: response.status, json: await response.json(), health };
  } finally {
    await server.stop();
  }
}

describe("a server stays up and says what is missing", () => {
  it("on a host without a usable KVM", async () => {
    const variables = { FIRN_PREPARE_MEMORY_MIB: "0" };
    const { status, json, health } = await deployTo({ store: `${FOLDER}/nobody`, userId: NOBODY, variables });
    expect({ status, json }).toMatchObject({
      status: 503,
      json: {
        Type: "ServiceException",
        code: "FIRN_KVM_UNAVAILABLE",
        Message: expect.stringContaining("/dev/kvm"),
      },
    });
    expect(health).toMatchObject({ status: "degraded", kvm: { available: false } });
    expect(health.jail.level).toMatch(/^(user-namespaces|minimal)$/);
  });

  it("but not outside the jail that it was told to use", async () => {
    const settings = { port: PORT + 1, store: `${FOLDER}/no-jail`, userId: NOBODY };
    const variables = { FIRN_JAIL: "root" };
    const { status, stderr } = await refuseServer(host, { ...settings, variables });
    expect(status).toBe(1);
    expect(stderr).toMatch(/the jail level root cannot be had: .*\[FIRN_JAIL_UNAVAILABLE\]/);
  });

  it("with a kernel that is not there", async () => {
    const variables = { FIRN_KERNEL: "/nowhere/Image" };
    const { status, json, health } = await deployTo({ store: `${FOLDER}/no-kernel`, variables });
    expect({ status, json }).toMatchObject({
      status: 503,
      json: { code: "FIRN_FILE_MISSING", Message: expect.stringContaining("/nowhere/Image") },
    });
    expect(health).toMatchObject({
      status: "degraded",
      base: { state: "failed", code: "FIRN_FILE_MISSING" },
    });
  });
});
