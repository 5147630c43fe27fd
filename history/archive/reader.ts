import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { readChunkLazily } from '../../runtime/kafka/partition-reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import { topicId } from '../../runtime/kafka/topic-settings.ts';
import type { PayloadRef, PayloadSource } from '../../schemas/payloads.ts';
import { readManifest, segmentNames } from './catalog.ts';
import { claimsOf } from './claims-pack.ts';
import { type ArchivePlace, partitionPrefix } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { readSegment, withLocal } from './segment-reader.ts';

/** What a reader hands out at a time. */
export interface HistoryBatch {
  /** Committed records, ascending; views, valid until the next batch is asked for. */
  readonly records: readonly KafkaRecord[];
  /** Where reading goes on. */
  readonly nextOffset: bigint;
  readonly from: 'archive' | 'topic';
}

/** Reads a partition of a topic, wherever its records are by now. */
export interface HistoryReader {
  /**
   * Committed records from `from` to before `to`: from the archive as long as the broker does not have them any more, then
   * from the topic.
   * @throws ReachflowError `HISTORY_GAP` where neither has them, `ARCHIVE_DAMAGED`, and as `readPartition`.
   */
  read(partition: number, from: bigint, to: bigint): AsyncGenerator<HistoryBatch, void, undefined>;
  /** Where the records of a partition begin, in the archive or in the topic, and where the committed ones end. */
  range(partition: number): Promise<{ readonly from: bigint; readonly to: bigint }>;
  /** Payloads that archived records refer to, of the segments that were read last; others come from `fallback`. */
  payloads(fallback: PayloadSource): PayloadSource;
}

export interface HistoryReaderOptions {
  readonly client: KafkaClient;
  readonly storage: CheckpointStorage;
  /** Logical name. */
  readonly topic: string;
}

const CHUNK_BYTES = 4_194_304;
/** Payloads of archived segments that are kept for who decodes their records. */
const MAX_PAYLOAD_BYTES = 134_217_728;

/** @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function openHistory(options: HistoryReaderOptions): Promise<HistoryReader> {
  const { client, topic } = options;
  return new MergedReader(options, await topicId(client, topic));
}

class MergedReader implements HistoryReader {
  readonly #options: HistoryReaderOptions;
  readonly #id: string | undefined;
  readonly #payloads = new Map<string, string>();
  #payloadBytes = 0;

  constructor(options: HistoryReaderOptions, id: string | undefined) {
    this.#options = options;
    this.#id = id;
  }

  #place(partition: number): ArchivePlace {
    const { client, topic } = this.#options;
    return { namespace: client.config.namespace, topic, topicId: this.#id, partition };
  }

  async range(partition: number) {
    const { client, storage, topic } = this.#options;
    const [names, { low, lastStable }] = await Promise.all([
      segmentNames(storage, this.#place(partition)),
      partitionOffsets(client, topic, partition),
    ]);
    const first = names[0]?.from ?? low;
    const isEarlier = first < low;
    return { from: isEarlier ? first : low, to: lastStable };
  }

  async *read(
    partition: number,
    from: bigint,
    to: bigint,
  ): AsyncGenerator<HistoryBatch, void, undefined> {
    const { client, topic } = this.#options;
    let position = from;
    while (position < to) {
      const { low } = await partitionOffsets(client, topic, partition);
      const before = position;
      const batches =
        position < low
          ? this.#archived(this.#place(partition), position, to < low ? to : low)
          : this.#live(partition, position, to);
      for await (const batch of batches) {
        position = batch.nextOffset;
        yield batch;
      }
      if (position === before) throw historyGap(topic, partition, position, low);
    }
  }

  /** Ends where the archive does, or at `to`. */
  async *#archived(
    place: ArchivePlace,
    from: bigint,
    to: bigint,
  ): AsyncGenerator<HistoryBatch, void, undefined> {
    const { storage } = this.#options;
    let position = from;
    for (const name of await segmentNames(storage, place)) {
      if (name.to <= position || name.from >= to) continue;
      if (name.from > position) return;
      const manifest = await readManifest(storage, place, name);
      await this.#loadPayloads(place, manifest);
      for await (const batch of readSegment(storage, place, manifest)) {
        const records = within(batch, position, to);
        const last = records.at(-1);
        if (last === undefined) continue;
        position = last.offset + 1n;
        yield { records, nextOffset: position, from: 'archive' };
      }
      position = name.to < to ? name.to : to;
      yield { records: [], nextOffset: position, from: 'archive' };
    }
  }

  /** Ends where retention was quicker than the reader, too: the archive may have the rest. */
  async *#live(
    partition: number,
    from: bigint,
    to: bigint,
  ): AsyncGenerator<HistoryBatch, void, undefined> {
    const { client, topic } = this.#options;
    let position = from;
    while (position < to) {
      try {
        const request = { topic, partition, from: position, maxBytes: CHUNK_BYTES };
        const { records, nextOffset } = await readChunkLazily(client, request);
        // Not decided yet, or not there yet: who asks for it waits.
        if (nextOffset === position) continue;
        position = nextOffset < to ? nextOffset : to;
        yield { records: within(records, from, to), nextOffset: position, from: 'topic' };
      } catch (error) {
        if (error instanceof ReachflowError && error.code === 'OFFSET_OUT_OF_RANGE') return;
        throw error;
      }
    }
  }

  async #loadPayloads(place: ArchivePlace, { claims }: Manifest): Promise<void> {
    if (claims === null) return;
    if (this.#payloadBytes > MAX_PAYLOAD_BYTES) {
      this.#payloads.clear();
      this.#payloadBytes = 0;
    }
    const key = `${partitionPrefix(place)}${claims.name}`;
    const read = withLocal(this.#options.storage, key, claims, (file) =>
      claimsOf(file, claims.name),
    );
    for await (const { sha256, text } of read) {
      this.#payloads.set(sha256, text);
      this.#payloadBytes += text.length;
    }
  }

  payloads(fallback: PayloadSource): PayloadSource {
    return {
      read: async (ref: PayloadRef) => this.#payloads.get(ref.sha256) ?? fallback.read(ref),
    };
  }
}

function within(records: readonly LazyRecord[], from: bigint, to: bigint): readonly LazyRecord[] {
  return records.filter(({ offset }) => offset >= from && offset < to);
}

function historyGap(topic: string, partition: number, at: bigint, low: bigint): ReachflowError {
  return new ReachflowError(
    `${topic}[${partition}] has nothing from offset ${at}: the broker begins at ${low}, and the archive does not have it`,
    {
      code: 'HISTORY_GAP',
      domain: 'user',
      hint: '`reachflow archive list` shows what there is; begin there, or behind the gap.',
    },
  );
}
