import { z } from 'zod';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { followTopic } from '../../runtime/kafka/reader.ts';
import { schemaIdOf } from '../../schemas/codec.ts';
import type { SchemaRegistryClient } from '../../schemas/registry.ts';

/** Magic byte and schema id. */
const HEADER_BYTES = 5;
const RETENTION_MS = 7 * 86_400_000;
const MAX_BYTES = 1_048_576;

/** Source: Debezium 3 documentation, "Receiving notifications". */
const notificationSchema = z.object({
  id: z.string(),
  aggregate_type: z.string(),
  type: z.string(),
  additional_data: z.record(z.string(), z.string()).nullable(),
  timestamp: z.number(),
});

/** One step of a snapshot, as Debezium tells of it. */
export interface SnapshotStep {
  /** Of the signal that asked for it; an initial snapshot has another one for each step. */
  readonly id: string;
  readonly kind: 'initial' | 'incremental';
  /** Debezium's word: STARTED, IN_PROGRESS, TABLE_SCAN_COMPLETED, PAUSED, RESUMED, ABORTED, COMPLETED … */
  readonly type: string;
  /** Of a step in a table. */
  readonly table: string | undefined;
  /** Chunks of the table that are done, of so many. */
  readonly chunk: number | undefined;
  readonly chunks: number | undefined;
  /** Of a table that is done. */
  readonly rows: number | undefined;
  /** Of a table: SUCCEEDED, or why it was not read (EMPTY, NO_PRIMARY_KEY, SKIPPED, SQL_EXCEPTION, UNKNOWN_SCHEMA …). */
  readonly status: string | undefined;
  /** ms since the epoch. */
  readonly at: number;
}

/** Steps after which nothing follows. */
const FINAL: ReadonlySet<string> = new Set(['COMPLETED', 'ABORTED', 'SKIPPED']);

/** Is the snapshot over with this step? */
export function isFinal({ type }: SnapshotStep): boolean {
  return FINAL.has(type);
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || !/^\d{1,15}$/.test(text) ? undefined : Number(text);
}

/** A decoded notification; undefined where it is not about a snapshot. Pure. */
export function snapshotStep(value: unknown): SnapshotStep | undefined {
  const parsed = notificationSchema.safeParse(value);
  if (!parsed.success || !parsed.data.aggregate_type.endsWith('Snapshot')) return undefined;
  const { id, type, aggregate_type: aggregate, additional_data: data, timestamp } = parsed.data;
  const more = data ?? {};
  return {
    id,
    type,
    kind: aggregate.startsWith('Incremental') ? 'incremental' : 'initial',
    table: more['scanned_collection'] ?? more['current_collection_in_progress'],
    chunk: numberOf(more['chunk_index']),
    chunks: numberOf(more['total_chunks']),
    rows: numberOf(more['total_rows_scanned']),
    status: more['status'],
    at: timestamp,
  };
}

export interface SnapshotFollower {
  /** Resolves once every step that was there at the start has been handed over. */
  readonly caughtUp: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Follows what Debezium says of a capture's snapshots, from the oldest that the topic keeps. Makes the topic where
 * there is none yet.
 * @param topic `CaptureNames.notificationTopic`.
 * @param onLost called when reading gave up for good.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function followSnapshots(
  client: KafkaClient,
  registry: Pick<SchemaRegistryClient, 'writerType'>,
  topic: string,
  onStep: (step: SnapshotStep) => void,
  onLost: (error: ReachflowError) => void,
): Promise<SnapshotFollower> {
  const limits = { retentionMs: RETENTION_MS, maxMessageBytes: MAX_BYTES };
  await ensureTopics(client, [{ name: topic, partitions: 1, cleanup: 'delete', ...limits }]);
  let waiting: Buffer[] = [];
  const follower = await followTopic(client, {
    topic,
    onRecord: ({ value }) => void (value !== null && waiting.push(value)),
    async onBatch() {
      const values = waiting;
      waiting = [];
      for (const value of values) {
        const step = snapshotStep(await decode(registry, value));
        if (step !== undefined) onStep(step);
      }
    },
    onLost,
  });
  return follower;
}

async function decode(
  registry: Pick<SchemaRegistryClient, 'writerType'>,
  value: Buffer,
): Promise<unknown> {
  const id = schemaIdOf(value);
  if (id === undefined) return undefined;
  try {
    return (await registry.writerType(id)).fromBuffer(value.subarray(HEADER_BYTES));
  } catch (error) {
    if (error instanceof ReachflowError) throw error;
    throw new ReachflowError(`a notification cannot be decoded: ${errorMessage(error)}`, {
      code: 'UNDECODABLE',
      domain: 'external',
      cause: error,
    });
  }
}
