import { z } from 'zod';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { Position } from '../../runtime/kafka/positioned-producer.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { FileImportChanged } from '../../schemas/types.ts';
import type { FilePosition } from './readers/reader.ts';

export const IMPORTS_TOPIC = 'file.import.changed';

/** How far an import is, as it is committed with its records. */
export interface ImportState {
  readonly position: FilePosition;
  readonly rejected: number;
  /** Bytes of the rejects file that belong to it. */
  readonly rejectsBytes: number;
  /** When the import began, ms since the epoch. */
  readonly startedAt: number;
  readonly finished: boolean;
}

const metadataSchema = z.object({
  line: z.int().min(0),
  bytes: z.int().min(0),
  rejected: z.int().min(0),
  rejectsBytes: z.int().min(0),
  startedAt: z.int().min(0),
  finished: z.boolean(),
});

/** As the producer commits it: rows as the offset, the rest as its metadata. */
export function toPosition({ position, ...rest }: ImportState): Position {
  const { rows, line, bytes } = position;
  return { next: BigInt(rows), metadata: JSON.stringify({ line, bytes, ...rest }) };
}

/** @throws ZodError when it was not written by `toPosition`: a bug. */
export function fromPosition({ next, metadata }: Position): ImportState {
  const { line, bytes, ...rest } = metadataSchema.parse(JSON.parse(metadata));
  return { position: { rows: Number(next), line, bytes }, ...rest };
}

/**
 * The newest state of every import there ever was, by id.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED`, `REGISTRY_UNAVAILABLE` (all retry: backoff).
 */
export async function readImports(
  client: KafkaClient,
  codec: TopicCodec,
): Promise<Map<string, FileImportChanged>> {
  const values: Buffer[] = [];
  await readTopic(client, {
    topic: IMPORTS_TOPIC,
    onRecord: ({ value }) => void (value && values.push(value)),
  });
  await codec.load(IMPORTS_TOPIC, values);
  const all = values.map((value) => codec.decode(IMPORTS_TOPIC, value));
  return new Map(all.map((one) => [one.import_id, one]));
}
