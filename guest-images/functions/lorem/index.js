const WORDS = (
  "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua " +
  "enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat duis aute irure in " +
  "reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt " +
  "culpa qui officia deserunt mollit anim id est laborum"
).split(" ");

/** Most paragraphs of one answer. */
const MOST = 1000;

/**
 * Makes filler text.
 *
 * @param {{ paragraphs?: number, seed?: number }} event `paragraphs` from 1 to 1000, 1 if absent. The same `seed` gives the same text.
 * @returns {Promise<{ text: string, words: number }>}
 */
export async function handler({ paragraphs = 1, seed } = {}) {
  if (!Number.isInteger(paragraphs) || paragraphs < 1 || paragraphs > MOST) {
    throw new RangeError(`"paragraphs" must be a whole number from 1 to ${MOST}.`);
  }
  const next = randomNumbers(seed ?? Math.floor(Math.random() * 2 ** 32));
  const text = Array.from({ length: paragraphs }, () => paragraph(next)).join("\n\n");
  return { text, words: text.split(/\s+/).length };
}

function paragraph(next) {
  return Array.from({ length: 3 + next(4) }, () => sentence(next)).join(" ");
}

function sentence(next) {
  const words = Array.from({ length: 5 + next(10) }, () => WORDS[next(WORDS.length)]);
  const text = words.join(" ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** Whole numbers below a limit, the same ones for the same seed (xorshift of 32 bits, G. Marsaglia 2003). */
function randomNumbers(seed) {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
