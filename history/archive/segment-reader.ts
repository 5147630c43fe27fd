import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { decodeStoredBatch, storedBatchBytes } from '../../runtime/kafka/stored-batch.ts';
import { type ArchivePlace, partitionPrefix } from './layout.ts';
import type { Manifest } from './manifest.ts';

const HEAD_BYTES = 12;
/** Of one batch: one record may have some MB, and brokers take no more than that. */
const MAX_BATCH_BYTES = 268_435_456;

/**
 * The records of a segment, batch by batch, its bytes compared with the manifest before the first is handed out. The object is
 * brought to a local file for it, which is removed in the end.
 * @throws ReachflowError `ARCHIVE_DAMAGED`, or as the storage does.
 */
export async function* readSegment(
  storage: CheckpointStorage,
  place: ArchivePlace,
  { log }: Manifest,
): AsyncGenerator<readonly LazyRecord[], void, undefined> {
  yield* withLocal(storage, `${partitionPrefix(place)}${log.name}`, log, (file) =>
    batchesOf(file, log.name),
  );
}

/** Brings an object to a local file, checks it, and lets it be read. @throws as `readSegment`. */
export async function* withLocal<T>(
  storage: CheckpointStorage,
  key: string,
  wanted: { readonly bytes: number; readonly sha256: string },
  read: (file: FileHandle) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-archive-'));
  let file: FileHandle | undefined;
  try {
    const path = join(dir, 'object');
    const found = await storage.getFile(key, path);
    if (found === undefined) throw damaged(key, 'it is not there');
    if (found.sha256 !== wanted.sha256)
      throw damaged(
        key,
        `its SHA-256 is ${found.sha256}, it has ${found.bytes} of ${wanted.bytes} bytes`,
      );
    file = await open(path, 'r');
    yield* read(file);
  } finally {
    await file?.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Batches of a file, whatever its digest. @throws ReachflowError `ARCHIVE_DAMAGED`, `CORRUPT_RECORDS`. */
export async function* batchesOf(
  file: FileHandle,
  name: string,
): AsyncGenerator<readonly LazyRecord[], void, undefined> {
  const head = Buffer.alloc(HEAD_BYTES);
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, at);
    if (bytesRead === 0) return;
    const bytes = bytesRead === HEAD_BYTES ? storedBatchBytes(head) : 0;
    if (bytes < HEAD_BYTES || bytes > MAX_BATCH_BYTES)
      throw damaged(name, `no batch begins at byte ${at}`);
    const batch = Buffer.allocUnsafe(bytes);
    const read = await file.read(batch, 0, bytes, at);
    if (read.bytesRead !== bytes) throw damaged(name, `the batch at byte ${at} is cut short`);
    yield decodeStoredBatch(batch);
    at += bytes;
  }
}

/** An object of the archive is not what it should be. */
export function damaged(name: string, why: string): ReachflowError {
  return new ReachflowError(`${name} of the archive is damaged: ${why}`, {
    code: 'ARCHIVE_DAMAGED',
    domain: 'external',
    hint: '`reachflow archive verify` says which records are concerned; restore the object from a copy.',
  });
}
