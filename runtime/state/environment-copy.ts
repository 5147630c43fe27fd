import { statSync } from 'node:fs';
import { ReachflowError } from '../errors.ts';

const POLL_MS = 1;
const MAX_START_MS = 2_000;

/**
 * A copy of an environment that another thread makes. LMDB gives no word of when it takes its view of the content,
 * which it does before it writes the first bytes; what is written to the environment until then would be in the copy.
 */
export class EnvironmentCopy {
  readonly #file: string;
  #started = false;
  #overtaken = false;

  /** @param file that is written; not there yet. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Before the environment is written to: waits, as everything that writes does, until the copy does not see it. */
  awaitStarted(): void {
    for (let waited = 0; !this.#started && waited < MAX_START_MS; waited += POLL_MS) {
      this.#started = (statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0) > 0;
      if (!this.#started) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
    this.#overtaken ||= !this.#started;
  }

  /**
   * Waits for the copy. @throws ReachflowError `STATE_SNAPSHOT_FAILED` (retry: backoff) when something was written
   * before it began, or what LMDB throws.
   */
  async finish(copied: Promise<void>): Promise<void> {
    await copied;
    this.#started = true;
    if (!this.#overtaken) return;
    throw new ReachflowError(`the copy ${this.#file} did not begin in time`, {
      code: 'STATE_SNAPSHOT_FAILED',
      domain: 'external',
      retry: 'backoff',
      hint: 'The machine was busy: the next snapshot may do. State and changelog are not touched by this.',
    });
  }
}
