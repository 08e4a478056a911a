import { expect, it } from "vitest";
import { handler } from "./index.js";

const open = (value?: string) => ({
  request: {
    type: "IntentRequest",
    intent: { name: "OpenDoor", slots: value === undefined ? {} : { password: { value } } },
  },
});
const told = async (event: object) => (await handler(event)).response;

it("handler() opens the door for the word alone", async () => {
  expect(await handler(open(" Firn "))).toMatchObject({ sessionAttributes: { door: "open" } });
  expect(await handler(open("snow"))).toMatchObject({ sessionAttributes: { door: "closed" } });
  expect(await told(open())).toMatchObject({ shouldEndSession: false });
});

it("handler() greets, says goodbye, and refuses what is no request", async () => {
  expect((await told({ request: { type: "LaunchRequest" } })).outputSpeech.text).toMatch(/^Welcome/);
  expect((await told({ request: { type: "SessionEndedRequest" } })).outputSpeech.text).toBe("Goodbye.");
  await expect(handler({ request: { type: "nonsense" } })).rejects.toThrow(TypeError);
});
