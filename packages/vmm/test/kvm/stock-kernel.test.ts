import { it } from "node:test";
import { AgentConversation } from "./agent-conversation.ts";
import { bootGuest, STOCK_INITRD, STOCK_KERNEL } from "./guest.ts";

it("boots Debian's stock kernel by way of its initial RAM disk", async () => {
  await using microvm = await bootGuest({
    kernelPath: STOCK_KERNEL,
    initrdPath: STOCK_INITRD,
    memoryBytes: 512 << 20,
  });
  const agent = new AgentConversation(microvm.stream);
  const { doorbellPresent } = await agent.expect("hello");
  if (!doorbellPresent) throw new Error("the agent did not find the doorbell");
  await agent.expect("runtimeReady");
});
