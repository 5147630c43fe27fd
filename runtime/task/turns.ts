/** Runs what changes a task, one piece of work after the other. After one that failed nothing runs any more. */
export class Turns {
  readonly #onFailure: (error: unknown) => void;
  /** Why nothing runs any more: what is queued behind a failure must not run on what it left. */
  #broken: unknown;
  #last: Promise<void> = Promise.resolve();

  /** @param onFailure called for each piece of work that fails, or does not run for one that did. */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** @throws what the work throws, or what an earlier one threw. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(() => {
      if (this.#broken !== undefined) throw this.#broken;
      return work();
    });
    this.#last = run.then(
      () => undefined,
      (error: unknown) => {
        this.#broken ??= error;
        this.#onFailure(error);
      },
    );
    return run;
  }

  /** Resolves when nothing is under way. What it failed with is thrown to who began it. */
  async rests(): Promise<void> {
    await this.#last;
  }

  /** Waits for what is under way; nothing runs afterwards. */
  async end(reason: Error): Promise<void> {
    await this.#last;
    this.#broken ??= reason;
  }
}
