import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SnapshotError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";
import { writeDurably } from "./durable-file.ts";

const LEASE_VERSION = 1;
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const SUFFIX = ".json";
/** Expiries later than this cannot be written down. */
const MAX_TIME_MS = 8.64e15;

const leaseSchema = z.strictObject({
  leaseVersion: z.literal(LEASE_VERSION),
  digests: z.array(z.custom<Digest>(isDigest)),
  /** ISO 8601. */
  expires: z.iso.datetime(),
});

interface Held {
  readonly digests: readonly Digest[];
  /** Milliseconds since 1970; infinite for what ends with the process. */
  readonly expires: number;
}

/** A claim on snapshots or blobs: they are not garbage while it is held. */
export interface Lease extends AsyncDisposable {
  /** Gives the claim up; may be called more than once. */
  release(): Promise<void>;
}

/** The leases of a store. Those without an expiry end with the process; the others are files, and outlive it. */
export class Leases {
  readonly #folder: string;
  readonly #temporaryName: (label: string) => string;
  readonly #held = new Map<string, Held>();
  readonly #unreadable = new Map<string, unknown>();
  #unnamed = 0;

  private constructor(folder: string, temporaryName: (label: string) => string) {
    this.#folder = folder;
    this.#temporaryName = temporaryName;
  }

  static async open(folder: string, temporaryName: (label: string) => string): Promise<Leases> {
    const leases = new Leases(folder, temporaryName);
    for (const file of await readdir(folder)) {
      const path = join(folder, file);
      try {
        const { digests, expires } = leaseSchema.parse(JSON.parse(await readFile(path, "utf8")));
        leases.#held.set(file.slice(0, -SUFFIX.length), { digests, expires: Date.parse(expires) });
      } catch (error) {
        leases.#unreadable.set(path, error);
      }
    }
    return leases;
  }

  /** Files that are no lease that this program can read, with the reason: nobody knows what they hold. */
  get unreadable(): ReadonlyMap<string, unknown> {
    return this.#unreadable;
  }

  /** What is held now. */
  *digests(): Iterable<Digest> {
    const now = Date.now();
    for (const { digests, expires } of this.#held.values()) if (expires > now) yield* digests;
  }

  /** Holds until released, or until the process ends. */
  hold(digests: readonly Digest[]): Lease {
    this.#unnamed += 1;
    return this.#add(`#${this.#unnamed}`, { digests, expires: Number.POSITIVE_INFINITY });
  }

  /** Holds until released or expired; a lease of the same name is replaced. @throws {SnapshotError} FIRN_INVALID_PARAMETER. */
  async holdUntil(name: string, digests: readonly Digest[], expires: number): Promise<Lease> {
    if (!NAME.test(name) || !(Math.abs(expires) <= MAX_TIME_MS)) {
      const message = `A lease "${name.slice(0, 140)}" cannot be: a name is up to 128 of a-z, 0-9, ".", "_" and "-", an expiry a date.`;
      throw new SnapshotError("FIRN_INVALID_PARAMETER", message);
    }
    const written = { leaseVersion: LEASE_VERSION, digests, expires: new Date(expires).toISOString() };
    const bytes = new TextEncoder().encode(`${JSON.stringify(written, null, 2)}\n`);
    const temporary = this.#temporaryName("lease");
    try {
      await writeDurably(temporary, this.#pathOf(name), bytes);
    } finally {
      await rm(temporary, { force: true });
    }
    return this.#add(name, { digests, expires });
  }

  async release(name: string): Promise<void> {
    this.#held.delete(name);
    if (!name.startsWith("#")) await rm(this.#pathOf(name), { force: true });
  }

  /** Forgets those that have expired. */
  async sweep(): Promise<void> {
    const now = Date.now();
    for (const [name, { expires }] of this.#held) if (expires <= now) await this.release(name);
  }

  #add(name: string, held: Held): Lease {
    this.#held.set(name, held);
    const release = async () => {
      // One that has taken its name is another's.
      if (this.#held.get(name) === held) await this.release(name);
    };
    return { release, [Symbol.asyncDispose]: release };
  }

  #pathOf(name: string): string {
    return join(this.#folder, name + SUFFIX);
  }
}
