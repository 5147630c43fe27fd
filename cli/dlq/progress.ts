import { note } from '../output.ts';

const WIDTH = 30;
/** Between lines where standard error is no terminal, ms. */
const QUIET_MS = 5_000;

/** Shows how far a command is, on standard error: a bar on a terminal, else a line now and then. */
export class Progress {
  readonly #total: number;
  readonly #began = performance.now();
  readonly #stream: NodeJS.WriteStream;
  #said = 0;

  constructor(total: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#total = total;
    this.#stream = stream;
  }

  /** @param done of the total, so far. */
  show(done: number): void {
    const now = performance.now();
    const rate = Math.round((done * 1_000) / Math.max(now - this.#began, 1));
    const share = this.#total === 0 ? 1 : Math.min(done / this.#total, 1);
    const text = `${done} of ${this.#total} letters, ${rate}/s`;
    if (this.#stream.isTTY) {
      const full = Math.round(share * WIDTH);
      this.#stream.write(`\r${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${text}   `);
      return;
    }
    if (now - this.#said < QUIET_MS && this.#said > 0) return;
    this.#said = now;
    note(text);
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\n');
  }
}
