/**
 * Splits NODE_OPTIONS as Node.js does: at spaces, except between double quotes, where a backslash takes the next character as it is.
 *
 * @throws {Error} if a quote does not end.
 */
export function splitOptions(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') {
      quoted = !quoted;
      word ??= "";
    } else if (character === " " && !quoted) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "\\" && quoted) {
      word = (word ?? "") + text.charAt(++at);
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quoted) throw new Error("NODE_OPTIONS has a quote that does not end.");
  if (word !== undefined) words.push(word);
  return words;
}

/** An option with its value, if it has one. */
export interface Option {
  /** With dashes, for example "--stack-trace-limit". */
  readonly name: string;
  readonly value: string | undefined;
}

/**
 * Reads NODE_OPTIONS.
 *
 * @param takesValue Whether an option of this name has a value, which then may be the next word.
 * @throws {Error} naming what is no option, or has no value.
 */
export function parseOptions(text: string, takesValue: (name: string) => boolean): Option[] {
  const words = splitOptions(text);
  const options: Option[] = [];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (!word.startsWith("-")) throw new Error(`NODE_OPTIONS has "${word}", which is no option.`);
    const equals = word.indexOf("=");
    const name = (equals < 0 ? word : word.slice(0, equals)).replaceAll("_", "-");
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (takesValue(name)) value ??= words.shift();
    if (takesValue(name) && !value) throw new Error(`NODE_OPTIONS has ${name} without a value.`);
    options.push({ name, value });
  }
  return options;
}
