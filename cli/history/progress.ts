import { note } from '../output.ts';

/** Between lines where standard error is no terminal, ms. */
const QUIET_MS = 5_000;
const TTY_MS = 200;

/** How far a long read is, with the rate and the time that is left, on standard error. */
export class ReadProgress {
  readonly #began = performance.now();
  readonly #stream: NodeJS.WriteStream;
  #saidAt = 0;
  #said = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** @param share of all that is done, 0 to 1. @param bytes so far. */
  show(what: string, share: number, bytes: number): void {
    const now = performance.now();
    if (now - this.#saidAt < (this.#stream.isTTY ? TTY_MS : QUIET_MS)) return;
    // What is quick is not worth a word.
    if (!this.#said && !this.#stream.isTTY && now - this.#began < QUIET_MS) return;
    this.#saidAt = now;
    this.#said = true;
    const seconds = Math.max(now - this.#began, 1) / 1_000;
    const left = share > 0 ? Math.round((seconds / share) * (1 - share)) : undefined;
    const rate = `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`;
    const text = `${what}: ${Math.floor(share * 100)} %, ${rate}${left === undefined ? '' : `, ${left} s left`}`;
    if (this.#stream.isTTY) this.#stream.write(`\r${text}   `);
    else note(text);
  }

  end(): void {
    if (this.#said && this.#stream.isTTY) this.#stream.write('\n');
  }
}
