import { z } from 'zod';
import { ReachflowError } from '../../runtime/errors.ts';
import type { Head } from '../head.ts';
import { hexHash, offsetText } from '../head.ts';
import type { FrontierState } from '../merkle/frontier.ts';
import { fromHex, toHex } from '../merkle/hash.ts';

const count = z.int().min(0);
const frontier = z.strictObject({ size: count, root: hexHash, nodes: z.array(hexHash).max(53) });
const stored = z.strictObject({ name: z.string(), bytes: count, sha256: hexHash });

const manifestSchema = z.strictObject({
  format: z.literal('reachflow-archive-1'),
  topic: z.string(),
  partition: count,
  topicId: z.string().nullable(),
  /** Offsets that it is about: every committed record of them is in it. */
  from: offsetText,
  to: offsetText,
  /** Where the tree begins that it goes on with. */
  origin: offsetText,
  records: count,
  /** Of keys, values and headers. */
  bytes: count,
  /** ms since the epoch. */
  minTimestamp: z.number(),
  maxTimestamp: z.number(),
  /** Why other offsets have no record. */
  gaps: z.strictObject({ markers: count, aborted: count, compacted: count, missing: count }),
  /** The object with the records: batches of Kafka's format 2, zstd. */
  log: stored,
  /** The object with the payloads that records refer to. */
  claims: stored.extend({ payloads: count }).nullable(),
  /** Payloads that were gone already. */
  missingClaims: count,
  /** The tree before its first record, and behind its last. */
  before: frontier,
  after: frontier,
  /** Of each batch: offsets, records and the root of their leaves alone: where something was altered, it says where. */
  batches: z.array(z.strictObject({ first: count, last: count, records: count, root: hexHash })),
  /** Avro schemas by id in the values' and keys' headers: with them the segment is readable alone. */
  schemas: z.record(z.string(), z.string()),
  keyFormat: z.enum(['string', 'avro', 'bytes']),
  /** ms since the epoch. */
  createdAt: z.number(),
});

/** What makes an object a segment of the archive. */
export type Manifest = z.infer<typeof manifestSchema>;

/** Of a manifest, bytes: it grows with the number of batches and schemas. */
export const MAX_MANIFEST_BYTES = 16_777_216;

/** @throws ReachflowError `ARCHIVE_MANIFEST_INVALID`. */
export function parseManifest(bytes: Buffer, key: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw invalid(key, 'it is no JSON', error);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw invalid(key, z.prettifyError(parsed.error));
  return parsed.data;
}

/** A tree as a manifest has it. */
export function frontierToJson({ size, nodes }: FrontierState, root: string): Manifest['after'] {
  return { size, root: toHex(root), nodes: nodes.map(toHex) };
}

/** Reads it back. */
export function frontierFromJson({ size, nodes }: Manifest['after']): FrontierState {
  return { size, nodes: nodes.map((hex) => fromHex(hex) ?? '') };
}

/** The head that a segment ends at. */
export function headOf(manifest: Manifest): Head {
  const { topic, partition, topicId, origin, to, after, createdAt } = manifest;
  return {
    ...{ topic, partition, topicId: topicId ?? undefined, by: 'archive', recordedAt: createdAt },
    origin: BigInt(origin),
    nextOffset: BigInt(to),
    root: fromHex(after.root) ?? '',
    frontier: frontierFromJson(after),
  };
}

function invalid(key: string, why: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`${key} is no manifest: ${why}`, {
    code: 'ARCHIVE_MANIFEST_INVALID',
    domain: 'external',
    hint: 'Something else wrote it, or it was damaged; `reachflow archive verify` says what is left without it.',
    cause,
  });
}
