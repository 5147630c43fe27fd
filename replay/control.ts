import type { ReachflowError } from '../runtime/errors.ts';
import { ensureTopics } from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { EpochProducer } from '../runtime/kafka/epoch-producer.ts';
import { followTopic, readTopic, type TopicFollower } from '../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../runtime/kafka/record.ts';
import { type Audit, type Pointer, parseEntry, type Replay } from './journal.ts';

/** Journal of replays and pointers of pipelines: compacted, one partition, kept for ever. */
export const CONTROL_TOPIC = 'replay.control';

/** All that the topic says, newest of each key. */
export class ControlState {
  readonly replays = new Map<string, Replay>();
  readonly pointers = new Map<string, Pointer>();
  readonly audit: Audit[] = [];

  /** Takes a record over; what an unknown version wrote is passed over. */
  apply({ key, value }: Pick<KafkaRecord, 'key' | 'value'>): void {
    const entry = parseEntry(key?.toString() ?? '', value);
    if (entry?.kind === 'replay') this.replays.set(entry.value.name, entry.value);
    if (entry?.kind === 'pointer') this.pointers.set(entry.value.pipeline, entry.value);
    if (entry?.kind === 'audit') this.audit.push(entry.value);
  }

  /** The generation that is live of each pipeline that is not in its first. */
  live(): ReadonlyMap<string, string> {
    return new Map(
      [...this.pointers.values()].flatMap(({ pipeline, generation }) =>
        generation === null ? [] : [[pipeline, generation] as const],
      ),
    );
  }
}

/** Makes the topic unless it is there. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function ensureControl(client: KafkaClient): Promise<void> {
  const kept = { cleanup: 'compact', retentionMs: -1, maxMessageBytes: 1_048_576 } as const;
  await ensureTopics(client, [{ name: CONTROL_TOPIC, partitions: 1, ...kept }]);
}

/** @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED`. */
export async function readControl(client: KafkaClient): Promise<ControlState> {
  await ensureControl(client);
  const state = new ControlState();
  await readTopic(client, { topic: CONTROL_TOPIC, onRecord: (record) => state.apply(record) });
  return state;
}

/**
 * Follows the topic. @param onChange called after each batch, once what was there at the start has been read.
 * @returns when that is read.
 */
export async function followControl(
  client: KafkaClient,
  onChange: (state: ControlState) => void,
  onLost: (error: ReachflowError) => void,
): Promise<{ readonly state: ControlState; readonly follower: TopicFollower }> {
  await ensureControl(client);
  const state = new ControlState();
  let isRead = false;
  const follower = await followTopic(client, {
    topic: CONTROL_TOPIC,
    onRecord: (record) => state.apply(record),
    onBatch: async () => {
      if (isRead) onChange(state);
    },
    onLost,
  });
  await follower.caughtUp;
  isRead = true;
  return { state, follower };
}

/** Something to write, with its key. */
export type Entry =
  | { readonly kind: 'replay'; readonly value: Replay }
  | { readonly kind: 'pointer'; readonly value: Pointer }
  | { readonly kind: 'audit'; readonly value: Audit };

function keyOf(entry: Entry): string {
  if (entry.kind === 'replay') return `replay/${entry.value.name}`;
  if (entry.kind === 'pointer') return `pointer/${entry.value.pipeline}`;
  return `audit/${entry.value.at}/${entry.value.replay}`;
}

/**
 * The one writer of the topic: whoever opens it fences the writer before, whose next write fails, and reads what is
 * there only then. So commands that run at the same time do not undo each other's steps.
 */
export class ControlWriter {
  readonly #producer: EpochProducer;
  readonly state: ControlState;

  private constructor(producer: EpochProducer, state: ControlState) {
    this.#producer = producer;
    this.state = state;
  }

  /** @throws ReachflowError `KAFKA_UNAVAILABLE`. */
  static async open(client: KafkaClient): Promise<ControlWriter> {
    await ensureControl(client);
    const producer = await EpochProducer.open(client, 'replay.control');
    try {
      await producer.prepare([CONTROL_TOPIC]);
      return new ControlWriter(producer, await readControl(client));
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  /** Entries of one write are seen together, or none. @throws as `EpochProducer.commit`. */
  async write(...entries: readonly Entry[]): Promise<void> {
    const batch = this.#producer.begin();
    for (const entry of entries) {
      const value = Buffer.from(JSON.stringify(entry.value));
      batch.append(CONTROL_TOPIC, 0, keyOf(entry), value, Date.now());
    }
    await this.#producer.commit(batch, []);
    for (const entry of entries) {
      this.state.apply({
        key: Buffer.from(keyOf(entry)),
        value: Buffer.from(JSON.stringify(entry.value)),
      });
    }
  }

  close(): Promise<void> {
    return this.#producer.close();
  }
}
