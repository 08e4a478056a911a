import { rm } from "node:fs/promises";
import {
  type Digest,
  describeWorkingSet,
  type Lease,
  type LocatedSnapshot,
  MEDIA_TYPE,
  type MissesOptions,
  type SnapshotManifest,
  type Store,
  type WorkingSetReport,
} from "@firn/snapshots";
import { type Lesson, mayTeach } from "./learning-rule.ts";

/** What teaches: an instance that was started cold and has answered its first request. */
export interface Teacher {
  recordMisses(options: MissesOptions): Promise<WorkingSetReport>;
}

/** What a cold start has taught about a snapshot's working set. */
export interface LearntWorkingSet extends Lesson {
  /** How many cold starts were looked at so far. */
  readonly starts: number;
}

/** What has been learnt about one snapshot. */
interface Course {
  starts: number;
  readonly lessons: Lesson[];
  /** What the start before has missed: a file. */
  misses: string | undefined;
  /** Keeps the working set before: a start that has found it may not have opened it yet. */
  former: Lease | undefined;
  /** Starts are looked at one after the other. */
  last: Promise<unknown>;
}

/**
 * Learns the working sets of snapshots from their first cold starts: what two in a row have written, and the working set did not name, is
 * added to it. Only addresses are looked at, never contents, and only after an answer. What has been learnt is in the store; how far that has
 * come is in memory, and another program begins anew.
 */
export class WorkingSetLearner {
  readonly #store: Store;
  readonly #courses = new Map<Digest, Course>();
  #closed = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Learns from a start, unless enough is known. Starts at the same time are looked at one after the other, each with what was learnt before.
   *
   * @param snapshot What it was started from.
   * @returns What was learnt; `undefined` if nothing was looked at, or there is nothing to compare with yet.
   * @throws {Error} If the instance is gone, or the store cannot be written. The snapshot has the working set that it had, then.
   */
  learn(snapshot: LocatedSnapshot, teacher: Teacher): Promise<LearntWorkingSet | undefined> {
    const { digest } = snapshot.manifest;
    const course = this.#courses.get(digest) ?? this.#begin(digest);
    const learnt = course.last.then(() => this.#look(course, snapshot.manifest, teacher));
    course.last = learnt.catch(() => {});
    return learnt;
  }

  /** Looks at no further start, and resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#courses.values()].map((course) => course.last.then(() => end(course))));
  }

  #begin(digest: Digest): Course {
    for (const [other, course] of this.#courses) {
      if (this.#store.has(other)) continue;
      this.#courses.delete(other);
      void course.last.then(() => end(course));
    }
    const course: Course = {
      starts: 0,
      lessons: [],
      misses: undefined,
      former: undefined,
      last: Promise.resolve(),
    };
    this.#courses.set(digest, course);
    return course;
  }

  async #look(
    course: Course,
    manifest: SnapshotManifest,
    teacher: Teacher,
  ): Promise<LearntWorkingSet | undefined> {
    if (this.#closed || !mayTeach(course.starts, course.lessons)) return undefined;
    course.starts += 1;
    const learnt = await this.#store.adding(() => this.#compare(course, manifest, teacher));
    if (learnt !== undefined) course.lessons.push(learnt);
    if (!mayTeach(course.starts, course.lessons)) await end(course);
    return learnt;
  }

  async #compare(
    course: Course,
    manifest: SnapshotManifest,
    teacher: Teacher,
  ): Promise<LearntWorkingSet | undefined> {
    const store = this.#store;
    const { workingSetPath } = await store.locate(manifest.digest);
    if (workingSetPath === undefined) return undefined;
    const misses = store.temporaryPath("misses");
    await teacher.recordMisses({ path: misses });
    const previousPath = course.misses;
    course.misses = misses;
    if (previousPath === undefined) return undefined;
    const path = store.temporaryPath("working-set");
    try {
      const { writtenBytes: before } = await describeWorkingSet(workingSetPath);
      const learn = { workingSetPath, previousPath };
      const { writtenBytes: totalBytes } = await teacher.recordMisses({ path, learn });
      const addedBytes = totalBytes - before;
      if (addedBytes > 0) await this.#replace(course, manifest, path);
      return { starts: course.starts, addedBytes, totalBytes };
    } finally {
      for (const file of [path, previousPath]) await rm(file, { force: true });
    }
  }

  async #replace(course: Course, manifest: SnapshotManifest, path: string): Promise<void> {
    const store = this.#store;
    const [former] = (await store.referrers(manifest.digest, MEDIA_TYPE.workingSet)).at(-1)?.layers ?? [];
    const lease = former && (await store.lease([former.digest]));
    await store.addWorkingSet(manifest, path);
    await course.former?.release();
    course.former = lease;
  }
}

async function end(course: Course): Promise<void> {
  const { misses, former } = course;
  course.misses = undefined;
  course.former = undefined;
  await former?.release();
  if (misses !== undefined) await rm(misses, { force: true });
}
