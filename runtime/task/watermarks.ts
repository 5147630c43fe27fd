/** How far a channel has come. */
export interface ChannelTime {
  /** ms; -Infinity before the first record. */
  readonly watermark: number;
  readonly idle: boolean;
}

/** A stored channel, without its name. */
const CHANNEL_BYTES = 2 + 8;

/**
 * Watermarks of a task's channels. A channel is an input partition, or an upstream task whose records come through a
 * repartition topic. The task's watermark is the minimum over channels that are not idle (as in Flink), and never goes
 * back. While all are idle it is the minimum of all: an idle channel may still be told to go on.
 */
export class Watermarks {
  readonly #names: readonly Buffer[];
  readonly #watermarks: number[];
  readonly #idle: boolean[];
  #current = Number.NEGATIVE_INFINITY;
  #changed = false;

  /** @param names of the channels, each another: what is stored goes by them, however many channels there come to be. */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => Buffer.from(name));
    this.#watermarks = new Array<number>(names.length).fill(Number.NEGATIVE_INFINITY);
    this.#idle = new Array<boolean>(names.length).fill(false);
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

  /** Everything as bytes, for the task's state: the task's own as a float64, then each channel's, behind its name. */
  encode(): Buffer {
    const names = this.#names.reduce((sum, { length }) => sum + length, 0);
    const bytes = Buffer.allocUnsafe(8 + names + CHANNEL_BYTES * this.#names.length);
    let at = bytes.writeDoubleLE(this.#current, 0);
    for (const [i, name] of this.#names.entries()) {
      at = bytes.writeUInt16LE(name.length, at);
      at += name.copy(bytes, at);
      at = bytes.writeDoubleLE(this.of(i), at);
    }
    return bytes;
  }

  /**
   * Goes on from what was encoded: channels by their names, so that those of an added source begin anew, and the others
   * do not. Channels are idle again only when they are found to be.
   */
  restore(bytes: Buffer): void {
    const channels = new Map(this.#names.map((name, i) => [name.toString(), i]));
    this.#current = bytes.readDoubleLE(0);
    for (let at = 8; at < bytes.length; ) {
      const end = at + 2 + bytes.readUInt16LE(at);
      const channel = channels.get(bytes.toString('utf8', at + 2, end));
      if (channel !== undefined) this.#watermarks[channel] = bytes.readDoubleLE(end);
      at = end + 8;
    }
  }
}
