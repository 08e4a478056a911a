// Opens the store of argv[2], publishes a snapshot there with the tag of its memory, argv[3], and says how that went.
import { Store } from "../src/store/store.ts";
import { exampleConfig, publishExample } from "./snapshots.ts";

const [, , root = "", memory = ""] = process.argv;
try {
  const store = await Store.open(root);
  const { digest } = await publishExample(store, memory, exampleConfig(), undefined, { tag: memory });
  console.log(`published ${digest}`);
} catch (error) {
  console.log(`failed ${(error as { code?: unknown }).code}`);
}
