/** What stands for the values beyond the bound. */
export const OTHER = 'other';

/**
 * Bounds how many values a label takes: each is a time series for ever, and names that steps choose (reasons, error
 * codes) may turn out to carry an id.
 */
export class LabelGuard {
  readonly #seen = new Set<string>();
  readonly #most: number;

  constructor(most = 100) {
    this.#most = most;
  }

  /** The value itself, or `other` when there are too many already. */
  of(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= this.#most || value.length > 128) return OTHER;
    this.#seen.add(value);
    return value;
  }
}
