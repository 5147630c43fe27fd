import { readDlq } from '../../../runtime/delivery/dlq-reader.ts';
import type { KafkaClient } from '../../../runtime/kafka/client.ts';
import { partitionOffsets } from '../../../runtime/kafka/partition-offsets.ts';
import { readPartition } from '../../../runtime/kafka/partition-reader.ts';
import { readTopic } from '../../../runtime/kafka/reader.ts';
import { type StateBackend, storesOf, TaskState } from '../../../runtime/state/contract.ts';
import { MemoryBackend } from '../../../runtime/state/memory-backend.ts';
import { entriesOf, type StoreEntry } from '../../../runtime/testing/store-entries.ts';
import type { SubTopology } from '../../../runtime/topology/graph.ts';
import type { TopicCodec } from '../../../schemas/codec.ts';
import { changelogOf, dlqOf, type TopicName, type TopicValue } from '../../../schemas/topics.ts';
import type { InputRecord } from './expected.ts';
import { CLOSER } from './topology.ts';

/** Committed records of a topic by partition, in order; undefined where the bytes are no value. */
async function partitionsOf<T extends TopicName>(
  client: KafkaClient,
  codec: TopicCodec,
  topic: T,
  partitions: number,
): Promise<{ offset: bigint; value: TopicValue<T> | undefined }[][]> {
  const raw: { offset: bigint; bytes: Buffer }[][] = Array.from({ length: partitions }, () => []);
  await readTopic(client, {
    topic,
    onRecord: ({ offset, value }, partition) => {
      raw[partition]?.push({ offset, bytes: Buffer.from(value ?? '') });
    },
  });
  const all = raw.flatMap((records) => records.map(({ bytes }) => bytes));
  await codec.load(topic, all);
  const decode = (bytes: Buffer) => {
    try {
      return codec.decode(topic, bytes);
    } catch {
      return undefined;
    }
  };
  return raw.map((records) =>
    records.map(({ offset, bytes }) => ({ offset, value: decode(bytes) })),
  );
}

/** What a trial was given. */
export function readInput(
  client: KafkaClient,
  codec: TopicCodec,
  partitions: number,
): Promise<InputRecord[][]> {
  return partitionsOf(client, codec, 'webhook.received', partitions);
}

/** Event ids of each partition of `event.recorded`, in order. */
export async function readEvents(
  client: KafkaClient,
  codec: TopicCodec,
  partitions: number,
): Promise<string[][]> {
  const events = await partitionsOf(client, codec, 'event.recorded', partitions);
  return events.map((records) => records.map(({ value }) => value?.event_id ?? '?'));
}

/** What was emitted of windows, in order, as `kind/key/start/end` and its count; without the closers'. */
export async function readWindows(
  client: KafkaClient,
  codec: TopicCodec,
  partitions: number,
): Promise<{ window: string; count: number }[]> {
  const records = await partitionsOf(client, codec, 'metric.tenant.count', partitions);
  return records.flat().flatMap(({ value }) => {
    if (value === undefined || value.tenant_id.includes(`/${CLOSER}`)) return [];
    const { tenant_id, window_start, window_end, count } = value;
    return [{ window: `${tenant_id}/${window_start}/${window_end}`, count }];
  });
}

/** As in `Outcome`. `values`: the bytes of each. */
export async function readDeadLetters(
  client: KafkaClient,
): Promise<{ letters: string[]; values: Map<string, Buffer | null> }> {
  const values = new Map<string, Buffer | null>();
  const letters: string[] = [];
  await readDlq(client, dlqOf('webhook.received', 'trial'), ({ info, record }) => {
    const letter = `${info.partition}@${info.offset} ${info.code}`;
    letters.push(letter);
    values.set(letter, record.value && Buffer.from(record.value));
  });
  return { letters: letters.sort(), values };
}

/** Every entry of every store of one task. */
export type StateDump = ReadonlyMap<string, readonly StoreEntry[]>;

/**
 * The state of a task as a new owner would find it: what a backend has, or nothing, and the changelog's tail.
 * @returns how many segments the tail had, too. The backend is closed.
 */
export async function readState(
  client: KafkaClient,
  sub: SubTopology,
  partition: number,
  local?: StateBackend,
): Promise<{ dump: StateDump; tail: number }> {
  const specs = [...new Set(sub.nodes.flatMap(({ stores }) => stores))];
  const identity = {
    namespace: client.config.namespace,
    pipeline: 'trial',
    subTopology: sub.name,
    partition,
  };
  const state = new TaskState(
    specs,
    local ?? new MemoryBackend({ identity, stores: storesOf(specs) }),
  );
  const topic = changelogOf('trial', sub.name);
  const { low, lastStable } = await partitionOffsets(client, topic, partition);
  let tail = 0;
  await readPartition(client, {
    topic,
    partition,
    from: state.startRestore(low, lastStable),
    to: lastStable,
    onRecords: (segments) => {
      for (const { value, offset } of segments) {
        if (value === null) continue;
        tail += 1;
        state.restore(Buffer.from(value), offset + 1n);
      }
    },
  });
  state.endRestore();
  const dump = new Map<string, StoreEntry[]>();
  for (const spec of specs) {
    const store = state.store(spec) as Parameters<typeof entriesOf>[1];
    // Sessions can be asked for by key only.
    if (!('overlapping' in store)) dump.set(spec.name, entriesOf(spec.name, store, partition));
  }
  await state.close();
  return { dump, tail };
}
