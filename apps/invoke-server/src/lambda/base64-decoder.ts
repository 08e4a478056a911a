/** What a byte stands for: 0 to 63, or one of the two below. */
const NONE = 64;
const PADDING = 65;
const VALUES = new Uint8Array(256).fill(NONE);
for (const [value, character] of [
  ..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
].entries()) {
  VALUES[character.charCodeAt(0)] = value;
}
VALUES["=".charCodeAt(0)] = PADDING;

/** Decodes base64 in pieces, strictly: its alphabet only, whole groups of four, padding at the end. */
export class Base64Decoder {
  /** Characters of a group that is not whole yet. */
  #rest: Buffer = Buffer.alloc(0);
  #padding = 0;

  /**
   * Decodes the next characters.
   *
   * @returns The bytes that are whole, or `undefined` if this is no base64.
   */
  push(characters: Uint8Array): Buffer | undefined {
    for (const character of characters) {
      const value = VALUES[character] ?? NONE;
      if (value === PADDING) this.#padding += 1;
      else if (value === NONE || this.#padding > 0) return undefined;
    }
    if (this.#padding > 2) return undefined;
    const all = Buffer.concat([this.#rest, characters]);
    const whole = all.length - (all.length % 4);
    this.#rest = all.subarray(whole);
    return Buffer.from(all.toString("latin1", 0, whole), "base64");
  }

  /** Whether what was pushed is complete. */
  get isComplete(): boolean {
    return this.#rest.length === 0;
  }
}
