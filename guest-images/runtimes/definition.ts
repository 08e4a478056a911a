import type { RuntimeManifest } from "./manifest.ts";

/** What other parts of the repository built for the images. */
export interface RuntimeParts {
  /** The static binary of `crates/guest-agent`. */
  readonly agent: string;
  /** The folder of what `packages/guest` builds. */
  readonly guest: string;
}

/** What `runtime.ts` in the folder of a runtime exports: all that tells its image from another. */
export interface RuntimeDefinition {
  readonly manifest: RuntimeManifest;
  /** Debian packages that are unpacked into the image, without those that they depend on. */
  readonly packages: readonly string[];
  /** Paths of these packages that are left out. */
  readonly leftOut: readonly string[];
  /** Paths in the image, and the files of this machine that go there. */
  files(parts: RuntimeParts): Promise<Readonly<Record<string, string>>>;
  /** Short files, by their paths in the image. */
  readonly texts: Readonly<Record<string, string>>;
  /** Paths in the image, and the folders of this repository that go there. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Symbolic links: their paths in the image, and what is in them. */
  readonly links?: Readonly<Record<string, string>>;
  /** What is done to the image at last. */
  readonly finish?: LastStep;
}

/** Something done to the unpacked image. */
export interface LastStep {
  /** Changes whenever the result would. */
  readonly key: string;
  /** @param root The image's root, a folder of this machine. */
  run(root: string): Promise<void>;
}
