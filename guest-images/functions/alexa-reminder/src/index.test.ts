import { expect, it } from "vitest";
import { handler } from "./index.js";

const timestamp = "2026-11-02T08:00:00Z";
const ask = (name: string, value?: string, reminders: { what: string; at: string }[] = []) =>
  handler({
    session: { attributes: { reminders } },
    request: {
      type: "IntentRequest",
      timestamp,
      intent: { name, slots: value === undefined ? {} : { text: { value } } },
    },
  });

it("handler() understands when, and keeps what was said before", async () => {
  const first = await ask("AddReminder", "water the plants tomorrow at 9am");
  expect(first.sessionAttributes.reminders).toEqual([
    { what: "water the plants", at: "2026-11-03T09:00:00.000Z" },
  ]);
  const second = await ask("AddReminder", "in two hours call home", first.sessionAttributes.reminders);
  expect(second.sessionAttributes.reminders[1]).toEqual({
    what: "call home",
    at: "2026-11-02T10:00:00.000Z",
  });
  const told = await ask("ListReminders", undefined, second.sessionAttributes.reminders);
  expect(told.response.outputSpeech.text).toBe(
    "call home, at 2026-11-02T10:00:00.000Z; water the plants, at 2026-11-03T09:00:00.000Z",
  );
});

it("handler() asks when it was not told when", async () => {
  expect((await ask("AddReminder", "call home")).response.outputSpeech.text).toBe("When shall I remind you?");
  expect((await ask("ListReminders")).response.outputSpeech.text).toBe("There are no reminders.");
});
