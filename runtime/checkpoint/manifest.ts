import { createHash } from 'node:crypto';
import { z } from 'zod';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { StateIdentity } from '../state/contract.ts';
import { type CheckpointPlace, sameTask, taskName } from './layout.ts';

/** Raised when an older Reachflow could not read what a newer one wrote. */
export const FORMAT_VERSION = 1;
/** More than a manifest ever has. */
export const MAX_MANIFEST_BYTES = 1_048_576;

const offsetText = z.string().regex(/^\d{1,20}$/);
const fileSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/),
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const manifestSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  namespace: z.string(),
  pipeline: z.string().min(1),
  subTopology: z.string().min(1),
  partition: z.int().min(0),
  backend: z.enum(['memory', 'lmdb']),
  changelogOffset: offsetText,
  epoch: z.int().min(0).nullable(),
  inputOffsets: z.record(z.string(), offsetText).nullable(),
  watermark: z.number().nullable(),
  entries: z.int().min(0).nullable(),
  bytes: z.int().min(0),
  files: z.array(fileSchema).min(1).max(1_000),
  versions: z.record(z.string(), z.string()),
  createdAt: z.iso.datetime(),
  durationMs: z.number().min(0),
});

export type ManifestFile = z.infer<typeof fileSchema>;

/** What a checkpoint is. Whoever has its files and this has a task's state as it was at one point of its changelog. */
export interface CheckpointManifest {
  readonly identity: StateIdentity;
  readonly backend: 'memory' | 'lmdb';
  /** Next offset of the changelog: where the tail begins that leads from this state to the present one. */
  readonly changelogOffset: bigint;
  /** Number of the last epoch contained. */
  readonly epoch: number | undefined;
  /** Next input offset by topic, as committed when the snapshot was taken; for people, Kafka's own count. */
  readonly inputOffsets: Readonly<Record<string, bigint>> | undefined;
  /** Event time reached, ms; undefined before the first record. */
  readonly watermark: number | undefined;
  readonly entries: number | undefined;
  /** Of all files. */
  readonly bytes: number;
  readonly files: readonly ManifestFile[];
  /** Who wrote it: reachflow, node, and what else decides whether the files can be read. */
  readonly versions: Readonly<Record<string, string>>;
  /** When the snapshot was taken, ms. */
  readonly createdAt: number;
  /** From the snapshot's begin to the last file's arrival, ms. */
  readonly durationMs: number;
}

function checksumOf(body: unknown): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}

/** A manifest as bytes: JSON with a checksum of the rest as its last field. */
export function encodeManifest(manifest: CheckpointManifest): Buffer {
  const { identity, inputOffsets, watermark } = manifest;
  const body: z.infer<typeof manifestSchema> = {
    formatVersion: FORMAT_VERSION,
    namespace: identity.namespace,
    pipeline: identity.pipeline,
    subTopology: identity.subTopology,
    partition: identity.partition,
    backend: manifest.backend,
    changelogOffset: String(manifest.changelogOffset),
    epoch: manifest.epoch ?? null,
    inputOffsets:
      inputOffsets === undefined
        ? null
        : Object.fromEntries(Object.entries(inputOffsets).map(([k, v]) => [k, String(v)])),
    watermark: watermark !== undefined && Number.isFinite(watermark) ? watermark : null,
    entries: manifest.entries ?? null,
    bytes: manifest.bytes,
    files: [...manifest.files],
    versions: { ...manifest.versions },
    createdAt: new Date(manifest.createdAt).toISOString(),
    durationMs: Math.round(manifest.durationMs),
  };
  return Buffer.from(`${JSON.stringify({ ...body, checksum: checksumOf(body) }, null, 2)}\n`);
}

function unreadable(where: string, why: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`the manifest of checkpoint ${where} ${why}`, {
    code: 'CHECKPOINT_CORRUPT',
    domain: 'external',
    hint: 'It is passed over; an older checkpoint, or the changelog, has the state, too.',
    cause,
  });
}

function jsonOf(bytes: Buffer, where: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch (error) {
    throw unreadable(where, `is no JSON: ${errorMessage(error)}`, error);
  }
  throw unreadable(where, 'is no JSON object');
}

/**
 * Reads and checks a manifest found at `place`.
 * @throws ReachflowError `CHECKPOINT_FORMAT` when a newer Reachflow wrote it, `CHECKPOINT_FOREIGN` when it is another
 * task's or another offset's, `CHECKPOINT_CORRUPT` otherwise.
 */
export function decodeManifest(bytes: Buffer, place: CheckpointPlace): CheckpointManifest {
  const where = `${taskName(place.identity)} ${place.id}`;
  const { checksum, ...body } = jsonOf(bytes, where);
  if (checksum !== checksumOf(body)) throw unreadable(where, 'does not match its checksum');
  const format = body['formatVersion'];
  if (typeof format === 'number' && format > FORMAT_VERSION) {
    throw new ReachflowError(
      `checkpoint ${where} has format ${format}; this Reachflow reads up to ${FORMAT_VERSION}`,
      {
        code: 'CHECKPOINT_FORMAT',
        domain: 'user',
        hint: 'A newer Reachflow wrote it: run that one, or let the changelog rebuild the state.',
      },
    );
  }
  const parsed = manifestSchema.safeParse(body);
  if (!parsed.success) throw unreadable(where, `is not one: ${z.prettifyError(parsed.error)}`);
  const manifest = fromBody(parsed.data);
  const same = sameTask(manifest.identity, place.identity);
  if (same && manifest.changelogOffset === place.changelogOffset) return manifest;
  throw new ReachflowError(
    `checkpoint ${where} belongs to ${taskName(manifest.identity)} of namespace ` +
      `"${manifest.identity.namespace}", changelog offset ${manifest.changelogOffset}`,
    {
      code: 'CHECKPOINT_FOREIGN',
      domain: 'user',
      hint: 'It was copied here from elsewhere: remove it. It is never restored.',
    },
  );
}

function fromBody(body: z.infer<typeof manifestSchema>): CheckpointManifest {
  const { namespace, pipeline, subTopology, partition, inputOffsets } = body;
  return {
    identity: { namespace, pipeline, subTopology, partition },
    backend: body.backend,
    changelogOffset: BigInt(body.changelogOffset),
    epoch: body.epoch ?? undefined,
    inputOffsets:
      inputOffsets === null
        ? undefined
        : Object.fromEntries(Object.entries(inputOffsets).map(([k, v]) => [k, BigInt(v)])),
    watermark: body.watermark ?? undefined,
    entries: body.entries ?? undefined,
    bytes: body.bytes,
    files: body.files,
    versions: body.versions,
    createdAt: Date.parse(body.createdAt),
    durationMs: body.durationMs,
  };
}
