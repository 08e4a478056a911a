import v8 from "node:v8";
import type { Hooks } from "./hooks.ts";

/**
 * Makes `startupSnapshot` of node:v8 speak of Firn's snapshots: libraries listen to it to forget what clones must not share, such as
 * the part of an id that stands for the process.
 *
 * @returns To be called when the process goes on after a snapshot: it is building none from then on.
 */
export function speakOfSnapshots(hooks: Hooks): () => void {
  let isBuilding = true;
  const replacements: Partial<typeof v8.startupSnapshot> = {
    isBuildingSnapshot: () => isBuilding,
    addSerializeCallback: (callback, data) => hooks.beforeSnapshot(() => callback(data)),
    addDeserializeCallback: (callback, data) => hooks.afterRestore(() => callback(data)),
    setDeserializeMainFunction: () => {
      throw new Error(
        "startupSnapshot.setDeserializeMainFunction() is not supported: export a handler instead.",
      );
    },
  };
  Object.assign(v8.startupSnapshot, replacements);
  return () => {
    isBuilding = false;
  };
}
