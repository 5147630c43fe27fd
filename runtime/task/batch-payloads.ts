import type { TopicCodec } from '../../schemas/codec.ts';
import type { Payloads } from '../../schemas/payloads.ts';
import type { TopicName } from '../../schemas/topics.ts';

/** Payloads of one batch that are in memory at a time, bytes: a worker has many tasks. */
const BUDGET_BYTES = 4_194_304;

/**
 * The payloads of a batch's records that are kept beside their topic, a few MB at a time: references are small, and a batch
 * of them can stand for gigabytes.
 */
export class BatchPayloads {
  readonly #codec: TopicCodec;
  readonly #topic: TopicName;
  readonly #values: readonly (Buffer | null)[];
  #current: Payloads | undefined;

  constructor(codec: TopicCodec, topic: TopicName, values: readonly (Buffer | null)[]) {
    this.#codec = codec;
    this.#topic = topic;
    this.#values = values;
  }

  /** Of the records that can be decoded now. */
  get current(): Payloads | undefined {
    return this.#current;
  }

  /** Moves on to those from index `from`; those before it are let go of once it is none of theirs. */
  async from(index: number): Promise<Payloads> {
    if (this.#current !== undefined && index < this.#current.end) return this.#current;
    this.#current = await this.#codec.payloads(this.#topic, this.#values, index, BUDGET_BYTES);
    return this.#current;
  }
}
