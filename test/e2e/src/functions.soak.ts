import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { invoke, remove } from "./api.ts";
import { deploySuiteFunction, type SuiteFunction } from "./examples.ts";

const source = ["package.json", "index.js"];
const python = {
  files: ["package.json", "lambda_function.py"],
  handler: "lambda_function.lambda_handler",
  runtime: "python3.11",
};
const intent = (name: string, slots: object) => ({
  request: { type: "IntentRequest", timestamp: "2026-11-02T08:00:00Z", intent: { name, slots } },
});

/** The functions of SnapFaaS, written anew. */
const suite: readonly SuiteFunction[] = [
  {
    name: "lorem",
    files: source,
    handler: "handler",
    event: { paragraphs: 1, seed: 7 },
    answer: { text: expect.stringMatching(/^Velit incididunt ut .* deserunt\.$/), words: 57 },
  },
  {
    name: "alexa-door",
    files: source,
    handler: "handler",
    event: intent("OpenDoor", { password: { value: "firn" } }),
    answer: { sessionAttributes: { door: "open" } },
  },
  {
    name: "alexa-reminder",
    folder: "alexa-reminder/dist",
    files: ["."],
    handler: "handler",
    event: intent("AddReminder", { text: { value: "call home in two hours" } }),
    answer: { sessionAttributes: { reminders: [{ what: "call home", at: "2026-11-02T10:00:00.000Z" }] } },
  },
  {
    name: "img-resize",
    folder: "img-resize/dist",
    files: ["."],
    handler: "handler",
    event: { widths: [64, 16] },
    answer: {
      images: [
        { width: 64, height: 48 },
        { width: 16, height: 12 },
      ],
    },
  },
  {
    name: "ocr",
    folder: "ocr/dist",
    files: ["."],
    handler: "handler",
    memoryMib: 512,
    event: {},
    answer: { text: "Firn is old snow" },
  },
  {
    ...python,
    name: "lorem-python",
    event: { paragraphs: 1, seed: 7 },
    answer: { text: expect.stringMatching(/^Velit incididunt ut .* deserunt\.$/), words: 57 },
  },
  {
    ...python,
    name: "sentiment-python",
    event: { text: "I like old snow" },
    answer: { mood: "positive", scores: { neg: 0, compound: 0.3612 } },
  },
  {
    ...python,
    name: "thumbnail-python",
    event: { width: 64 },
    answer: { width: 64, height: 48, jpeg: expect.stringMatching(/^\/9j\//) },
  },
];

describe.each(suite)("$name", (each) => {
  beforeAll(async () => {
    const answer = await deploySuiteFunction(each);
    expect(answer.json).toMatchObject({ name: each.name, state: "Active" });
  });
  afterAll(() => remove(each.name));

  it.each(["cold", "warm", "regular"])("answers %s", async (start) => {
    const answer = await invoke(each.name, each.event, { "x-firn-start": start });
    expect(answer).toMatchObject({ status: 200, start, json: each.answer });
  });
});
