import type { ByteSource } from './byte-source.ts';

const INITIAL_BYTES = 1_048_576;

/** The part of a text that a scanner looks at: what it has not consumed, and what follows. */
export class ByteWindow {
  readonly #source: ByteSource;
  readonly #maxBytes: number;
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #start = 0;
  #end = 0;
  #ended = false;
  #consumed: number;

  /** @param from where in the text the source begins. @param maxBytes of one unit that a scanner needs as a whole. */
  constructor(source: ByteSource, from: number, maxBytes: number) {
    this.#source = source;
    this.#consumed = from;
    this.#maxBytes = maxBytes;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  /** First byte that is not consumed. */
  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  /** Nothing follows what is in the window. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing that could be consumed is longer than what is in the window. */
  get full(): boolean {
    return this.#end - this.#start > this.#maxBytes;
  }

  /** Bytes of the text before `start`. */
  get consumed(): number {
    return this.#consumed;
  }

  /** @param at position in `buffer`, at most `end`. */
  consumeTo(at: number): void {
    this.#consumed += at - this.#start;
    this.#start = at;
  }

  /** Reads more behind what is there. Positions in the buffer change. @throws as `ByteSource.read`. */
  async fill(): Promise<void> {
    const kept = this.#end - this.#start;
    if (this.#start > 0) this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#start = 0;
    this.#end = kept;
    if (kept > this.#buffer.length / 2) {
      const larger = Buffer.allocUnsafeSlow(this.#buffer.length * 2);
      this.#buffer.copy(larger, 0, 0, kept);
      this.#buffer = larger;
    }
    const read = await this.#source.read(this.#buffer, this.#end);
    this.#end += read;
    this.#ended = read === 0;
  }
}
