import { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256 of the word that opens the door: "firn", unless the environment has another one. */
const digestOf = (word) => createHash("sha256").update(word.trim().toLowerCase()).digest();
const expected = () => digestOf(process.env.DOOR_PASSWORD ?? "firn");

/**
 * Answers a request of the Alexa Skills Kit: it opens the door for who says the word.
 *
 * @param {{ request?: { type?: string, intent?: { name?: string, slots?: { password?: { value?: string } } } } }} event
 */
export async function handler({ request } = {}) {
  switch (request?.type) {
    case "LaunchRequest":
      return say("Welcome. Say: open the door, and the word.", { ends: false });
    case "SessionEndedRequest":
      return say("Goodbye.");
    case "IntentRequest":
      return onIntent(request.intent ?? {});
    default:
      throw new TypeError(`"${request?.type}" is no type of an Alexa request.`);
  }
}

function onIntent({ name, slots = {} }) {
  if (name === "AMAZON.StopIntent" || name === "AMAZON.CancelIntent") return say("Goodbye.");
  if (name !== "OpenDoor") return say("I can only open the door.", { ends: false });
  const word = slots.password?.value;
  if (word === undefined) return say("What is the word?", { ends: false });
  const opens = timingSafeEqual(digestOf(word), expected());
  return say(opens ? "The door is open." : "That is not the word.", {
    state: { door: opens ? "open" : "closed" },
  });
}

function say(text, { ends = true, state = {} } = {}) {
  return {
    version: "1.0",
    sessionAttributes: state,
    response: { outputSpeech: { type: "PlainText", text }, shouldEndSession: ends },
  };
}
