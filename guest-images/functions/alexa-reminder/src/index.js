import * as chrono from "chrono-node";

/**
 * Answers a request of the Alexa Skills Kit: it takes reminders in plain English, and reads them out. They are kept in the session.
 *
 * @param {{ session?: { attributes?: { reminders?: { what: string, at: string }[] } }, request: { type: string, timestamp?: string,
 *   intent?: { name: string, slots?: { text?: { value?: string } } } } }} event
 */
export async function handler({ session, request }) {
  const reminders = session?.attributes?.reminders ?? [];
  if (request.type !== "IntentRequest") return say("Tell me what, and when.", reminders);
  const { name, slots } = request.intent ?? {};
  if (name === "ListReminders") return say(list(reminders), reminders);
  if (name !== "AddReminder") return say("I can add reminders and list them.", reminders);
  return add(slots?.text?.value ?? "", new Date(request.timestamp ?? Date.now()), reminders);
}

function add(text, now, reminders) {
  const [found] = chrono.parse(text, { instant: now, timezone: 0 }, { forwardDate: true });
  if (found === undefined) return say("When shall I remind you?", reminders);
  const what = text.replace(found.text, "").replace(/\s+/g, " ").trim();
  const reminder = { what: what === "" ? "something" : what, at: found.date().toISOString() };
  return say(`I will remind you: ${reminder.what}.`, [...reminders, reminder]);
}

function list(reminders) {
  if (reminders.length === 0) return "There are no reminders.";
  const inOrder = reminders.toSorted((one, other) => one.at.localeCompare(other.at));
  return inOrder.map(({ what, at }) => `${what}, at ${at}`).join("; ");
}

function say(text, reminders) {
  return {
    version: "1.0",
    sessionAttributes: { reminders },
    response: { outputSpeech: { type: "PlainText", text }, shouldEndSession: false },
  };
}
