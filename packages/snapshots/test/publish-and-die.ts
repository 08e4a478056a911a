// Publishes a base and a diff into the store of argv[2], and kills itself after step argv[3] of publishing the diff.
import { Store } from "../src/store/store.ts";
import { exampleConfig, publishExample } from "./snapshots.ts";

const [, , root = "", deadly = ""] = process.argv;
let publishing = "base";
const store = await Store.open(root, {
  onPublishStep: (step) => {
    if (publishing === "diff" && step === deadly) process.kill(process.pid, "SIGKILL");
  },
});
const app = await store.blobs.add(new TextEncoder().encode("app"), "application/vnd.firn.app.v1.erofs");
const base = await publishExample(store, "base memory");
publishing = "diff";
const config = exampleConfig({ kind: "diff", parent: base.digest, appImage: app.digest });
await publishExample(store, "diff memory", config, app);
