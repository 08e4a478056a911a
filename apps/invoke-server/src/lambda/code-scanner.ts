import { Base64Decoder } from "./base64-decoder.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACES = new Set([0x20, 0x09, 0x0a, 0x0d]);
const OPENING = new Set([0x7b, 0x5b]);
const CLOSING = new Set([0x7d, 0x5d]);
const COLON = 0x3a;
/** Escapes of the characters of base64 that some JSON writers make: `\/` and `\u003d`. */
const LONGEST_ESCAPE = 6;

/** What the scanner found wrong. */
export class CodeScanError extends Error {
  override readonly name = "CodeScanError";
}

/**
 * Reads a JSON text as it arrives and takes one base64 string out of it: that of the given path. Everything else is kept and is
 * parsed at the end; only that must fit in memory.
 */
export class CodeScanner {
  readonly #path: string;
  readonly #limit: number;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  /** The key under which each open object or list stands; lists count as a key that no path has. */
  readonly #keys: string[] = [];
  #state: "outside" | "string" | "code" = "outside";
  /** Bytes of the string that is read, as long as it may be a key. */
  #string = "";
  #escaped = false;
  /** The last string, if nothing but a colon has come since. */
  #last: string | undefined;
  #key: string | undefined;
  #escape = "";
  #decoder: Base64Decoder | undefined;

  /**
   * @param path Keys of the string, joined by dots, such as `Code.ZipFile`.
   * @param limit Most bytes of everything else.
   */
  constructor(path: string, limit: number) {
    this.#path = path;
    this.#limit = limit;
  }

  /** Bytes that are held in memory now. */
  get bufferedBytes(): number {
    return this.#keptBytes + this.#escape.length;
  }

  /** Whether the string was found. */
  get found(): boolean {
    return this.#decoder !== undefined;
  }

  /**
   * Reads the next bytes.
   *
   * @returns What they hold of the string, decoded.
   * @throws {CodeScanError} if the string is no base64, is there twice, or the rest is too long.
   */
  push(chunk: Uint8Array): Buffer[] {
    const decoded: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) {
      const begin = at;
      if (this.#state === "code") {
        at = this.#readCode(chunk, at, decoded);
        continue;
      }
      at = this.#state === "string" ? this.#readString(chunk, at) : this.#readOutside(chunk, at);
      this.#keep(chunk.subarray(begin, at));
    }
    return decoded;
  }

  /**
   * Ends the text.
   *
   * @returns The value without the string, in whose place there is an empty one.
   * @throws {SyntaxError} if it is no JSON. @throws {TypeError} if it is no UTF-8.
   */
  end(): unknown {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(this.#kept));
    return JSON.parse(text);
  }

  #keep(bytes: Uint8Array): void {
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > this.#limit) {
      throw new CodeScanError(`All but ${this.#path} is longer than ${this.#limit} bytes.`);
    }
    this.#kept.push(Buffer.from(bytes));
  }

  /** Reads up to the opening quote of a string, that included. */
  #readOutside(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at] as number;
      if (byte === QUOTE) {
        const isCode =
          this.#key !== undefined && [...this.#keys.slice(1), this.#key].join(".") === this.#path;
        if (isCode) this.#beginCode();
        else this.#state = "string";
        this.#string = "";
        return at + 1;
      }
      if (SPACES.has(byte)) continue;
      if (byte === COLON) {
        this.#key = this.#last;
      } else {
        if (OPENING.has(byte)) this.#keys.push(byte === 0x7b ? (this.#key ?? "") : "[");
        else if (CLOSING.has(byte)) this.#keys.pop();
        this.#key = undefined;
      }
      this.#last = undefined;
    }
    return chunk.length;
  }

  /** Reads up to the closing quote, that included. */
  #readString(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at] as number;
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) {
        this.#state = "outside";
        this.#last = this.#key === undefined ? this.#string : undefined;
        this.#key = undefined;
        return at + 1;
      }
      if (this.#string.length <= this.#path.length) this.#string += String.fromCharCode(byte);
    }
    return chunk.length;
  }

  #beginCode(): void {
    if (this.#decoder !== undefined) throw new CodeScanError(`${this.#path} is there twice.`);
    this.#decoder = new Base64Decoder();
    this.#state = "code";
  }

  /** Reads up to the closing quote, which is kept: an empty string remains. */
  #readCode(chunk: Uint8Array, from: number, decoded: Buffer[]): number {
    if (this.#escape !== "") return this.#readEscape(chunk, from, decoded);
    const quote = chunk.indexOf(QUOTE, from);
    const end = quote === -1 ? chunk.length : quote;
    const backslash = chunk.subarray(from, end).indexOf(BACKSLASH);
    if (backslash !== -1) {
      this.#decode(chunk.subarray(from, from + backslash), decoded);
      this.#escape = "\\";
      return from + backslash + 1;
    }
    this.#decode(chunk.subarray(from, end), decoded);
    if (quote === -1) return end;
    if (this.#decoder?.isComplete !== true) throw this.#notBase64();
    this.#keep(chunk.subarray(quote, quote + 1));
    this.#state = "outside";
    this.#last = undefined;
    this.#key = undefined;
    return quote + 1;
  }

  #readEscape(chunk: Uint8Array, from: number, decoded: Buffer[]): number {
    this.#escape += String.fromCharCode(chunk[from] as number);
    const isWhole = !this.#escape.startsWith("\\u") || this.#escape.length === LONGEST_ESCAPE;
    if (isWhole) {
      const character = /^\\(\/|u00[0-7][0-9a-fA-F])$/.test(this.#escape)
        ? JSON.parse(`"${this.#escape}"`)
        : "\\";
      this.#escape = "";
      this.#decode(Buffer.from(character, "latin1"), decoded);
    }
    return from + 1;
  }

  #decode(characters: Uint8Array, decoded: Buffer[]): void {
    const bytes = this.#decoder?.push(characters);
    if (bytes === undefined) throw this.#notBase64();
    if (bytes.length > 0) decoded.push(bytes);
  }

  #notBase64(): CodeScanError {
    return new CodeScanError(`${this.#path} is no base64.`);
  }
}
