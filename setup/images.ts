import { kernelPath } from "../guest-images/images.ts";
import { main } from "./main.ts";
import { step } from "./progress.ts";
import { buildGuest, publishImages, stockVariables } from "./steps/builds.ts";
import { installSystemPackages } from "./steps/system-packages.ts";

// Builds kernels and runtime images, and prints where they are, as variables for a shell.
await main(async () => {
  await step("system packages", installSystemPackages);
  await step("guest kernel", async () => void (await kernelPath("firn")));
  const images = await buildGuest();
  for (const [name, value] of Object.entries(
    await publishImages(images, stockVariables(await kernelPath("debian"))),
  ))
    console.log(`${name}=${value}`);
  return 0;
});
