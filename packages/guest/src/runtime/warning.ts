/** Something in the function that clones of the snapshot will share although they should not. */
export interface Warning {
  readonly code: string;
  /** What, and what to do. */
  readonly message: string;
}

/** How many places a warning names. */
const NAMED = 8;

/** Places as a warning names them: the first ones, and how many more there are. */
export function namePlaces(places: readonly string[]): string {
  const more = places.length > NAMED ? ` and ${places.length - NAMED} more` : "";
  return `${places.slice(0, NAMED).join(", ")}${more}`;
}
