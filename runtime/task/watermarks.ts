/** How far a channel has come. */
export interface ChannelTime {
  /** ms; -Infinity before the first record. */
  readonly watermark: number;
  readonly idle: boolean;
}

/**
 * Watermarks of a task's channels. A channel is an input partition, or an upstream task whose records come through a
 * repartition topic. The task's watermark is the minimum over channels that are not idle (as in Flink), and never goes
 * back. While all are idle it is the minimum of all: an idle channel may still be told to go on.
 */
export class Watermarks {
  readonly #watermarks: number[];
  readonly #idle: boolean[];
  #current = Number.NEGATIVE_INFINITY;
  #changed = false;

  constructor(channels: number) {
    this.#watermarks = new Array<number>(channels).fill(Number.NEGATIVE_INFINITY);
    this.#idle = new Array<boolean>(channels).fill(false);
  }

  /** The task's watermark, ms. */
  get current(): number {
    return this.#current;
  }

  get allIdle(): boolean {
    return this.#idle.every(Boolean);
  }

  of(channel: number): number {
    return this.#watermarks[channel] ?? Number.NEGATIVE_INFINITY;
  }

  isIdle(channel: number): boolean {
    return this.#idle[channel] ?? false;
  }

  /** Moves a channel on; an earlier time changes nothing. Returns true when the task's watermark moved. */
  advance(channel: number, to: number): boolean {
    const before = this.of(channel);
    if (to <= before) return false;
    this.#watermarks[channel] = to;
    this.#changed = true;
    return before <= this.#current || this.#watermarks.length === 1 ? this.#update() : false;
  }

  /** Returns true when the task's watermark moved. */
  setIdle(channel: number, idle: boolean): boolean {
    if (this.#idle[channel] === idle) return false;
    this.#idle[channel] = idle;
    return this.#update();
  }

  #update(): boolean {
    const all = this.allIdle;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#watermarks.length; i += 1) {
      const watermark = this.#watermarks[i];
      if (watermark === undefined || (this.#idle[i] === true && !all)) continue;
      if (watermark < least) least = watermark;
    }
    if (least === Number.POSITIVE_INFINITY || least <= this.#current) return false;
    this.#current = least;
    this.#changed = true;
    return true;
  }

  /** Whether any watermark moved since the last call. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** Everything as bytes, for the task's state: a float64 each, the task's own first. */
  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(8 * (this.#watermarks.length + 1));
    bytes.writeDoubleLE(this.#current, 0);
    for (const [i, watermark] of this.#watermarks.entries())
      bytes.writeDoubleLE(watermark, 8 * (i + 1));
    return bytes;
  }

  /** Goes on from what was encoded; channels are idle again only when they are found to be. */
  restore(bytes: Buffer): void {
    this.#current = bytes.readDoubleLE(0);
    const known = Math.min(this.#watermarks.length, bytes.length / 8 - 1);
    for (let i = 0; i < known; i += 1) this.#watermarks[i] = bytes.readDoubleLE(8 * (i + 1));
  }
}
