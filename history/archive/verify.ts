import type { FileHandle } from 'node:fs/promises';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import type { Head } from '../head.ts';
import { LeafHasher } from '../leaf.ts';
import { Frontier } from '../merkle/frontier.ts';
import { toHex } from '../merkle/hash.ts';
import { rootOf } from '../merkle/prover.ts';
import type { OffsetRange } from '../verify/offsets.ts';
import type { Fault } from '../verify/report.ts';
import { readManifest, segmentNames } from './catalog.ts';
import { claimsOf } from './claims-pack.ts';
import { type ArchivePlace, partitionPrefix, type SegmentName } from './layout.ts';
import { frontierFromJson, headOf, type Manifest } from './manifest.ts';
import { batchesOf, withLocal } from './segment-reader.ts';

/** What the verification of a partition's archive found. */
export interface ArchiveReport {
  readonly partition: number;
  readonly segments: number;
  readonly records: number;
  /** Of keys, values and headers. */
  readonly bytes: number;
  readonly range: OffsetRange | undefined;
  /** Heads that were recorded elsewhere and say the same. */
  readonly confirmed: number;
  readonly faults: readonly Fault[];
}

export interface VerifyArchiveOptions {
  readonly place: ArchivePlace;
  /** Heads that were recorded of the partition, ascending: what the archive is compared with. */
  readonly heads: readonly Head[];
  readonly onProgress?: (done: number, total: number, bytes: number) => void;
}

/**
 * Reads all of a partition's archive: each object against its hash, each record against the tree, each segment against the
 * one before it and the heads that were recorded in the topic of heads.
 * @throws ReachflowError as the storage does.
 */
export async function verifyArchive(
  storage: CheckpointStorage,
  { place, heads, onProgress }: VerifyArchiveOptions,
): Promise<ArchiveReport> {
  const names = await segmentNames(storage, place);
  const faults: Fault[] = [];
  let [records, bytes, confirmed] = [0, 0, 0];
  let before: Manifest | undefined;
  for (const [i, name] of names.entries()) {
    const manifest = await manifestOf(storage, place, name, faults);
    if (manifest === undefined) {
      before = undefined;
      continue;
    }
    faults.push(...joint(before, manifest), ...(await segmentFaults(storage, place, manifest)));
    const fits = against(manifest, heads);
    confirmed += fits.confirmed;
    faults.push(...fits.faults);
    records += manifest.records;
    bytes += manifest.bytes;
    before = manifest;
    onProgress?.(i + 1, names.length, bytes);
  }
  const [first, last] = [names[0], names.at(-1)];
  const range =
    first === undefined || last === undefined ? undefined : { from: first.from, to: last.to };
  return {
    partition: place.partition,
    segments: names.length,
    records,
    bytes,
    range,
    confirmed,
    faults,
  };
}

async function manifestOf(
  storage: CheckpointStorage,
  place: ArchivePlace,
  name: SegmentName,
  faults: Fault[],
): Promise<Manifest | undefined> {
  try {
    return await readManifest(storage, place, name);
  } catch (error) {
    if (!(error instanceof ReachflowError) || error.code !== 'ARCHIVE_MANIFEST_INVALID')
      throw error;
    faults.push({ code: 'ARCHIVE_DAMAGED', from: name.from, to: name.to, evidence: error.message });
    return undefined;
  }
}

/** Whether a segment goes on where the one before it ended. */
function joint(before: Manifest | undefined, manifest: Manifest): Fault[] {
  if (before === undefined) return [];
  const [from, to] = [BigInt(before.to), BigInt(manifest.from)];
  if (to > from) {
    return [{ code: 'ARCHIVE_GAP', from, to, evidence: 'no segment has these offsets' }];
  }
  const isSame = before.origin === manifest.origin;
  if (!isSame || before.after.root === manifest.before.root) return [];
  const evidence =
    'the tree that it goes on with is not the one that the segment before ended with';
  return [{ code: 'ARCHIVE_DIFFERS', from: to, to: BigInt(manifest.to), evidence }];
}

/** Compares a segment's end with what was recorded of the same tree at the same offset. */
function against(
  manifest: Manifest,
  heads: readonly Head[],
): { confirmed: number; faults: Fault[] } {
  const own = headOf(manifest);
  const same = heads.filter(
    ({ nextOffset, origin }) => nextOffset === own.nextOffset && origin === own.origin,
  );
  const differing = same.filter(({ root }) => root !== own.root);
  const [from, to] = [BigInt(manifest.from), BigInt(manifest.to)];
  return {
    confirmed: same.length - differing.length,
    faults: differing.map(({ root }) => ({
      ...({ code: 'ARCHIVE_DIFFERS', from, to } as const),
      evidence: `the recorded head at ${to} has the root ${toHex(root).slice(0, 16)}…, the manifest ${manifest.after.root.slice(0, 16)}…`,
    })),
  };
}

async function segmentFaults(
  storage: CheckpointStorage,
  place: ArchivePlace,
  manifest: Manifest,
): Promise<Fault[]> {
  const range = { from: BigInt(manifest.from), to: BigInt(manifest.to) };
  const faults: Fault[] = [];
  const note = (error: unknown): void => {
    if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
    faults.push({ code: 'ARCHIVE_DAMAGED', ...range, evidence: errorMessage(error) });
  };
  try {
    const key = `${partitionPrefix(place)}${manifest.log.name}`;
    // Where the digest is wrong the batches tell which of them is concerned, so they are read all the same.
    for await (const found of checked(storage, key, manifest)) faults.push(found);
  } catch (error) {
    note(error);
  }
  const { claims } = manifest;
  if (claims === null) return faults;
  try {
    const key = `${partitionPrefix(place)}${claims.name}`;
    let payloads = 0;
    const read = withLocal(storage, key, claims, (file) => claimsOf(file, claims.name));
    for await (const _claim of read) payloads += 1;
    if (payloads !== claims.payloads)
      faults.push({
        code: 'ARCHIVE_DAMAGED',
        ...range,
        evidence: `${payloads} of ${claims.payloads} payloads`,
      });
  } catch (error) {
    note(error);
  }
  return faults;
}

async function* checked(
  storage: CheckpointStorage,
  key: string,
  manifest: Manifest,
): AsyncGenerator<Fault, void, undefined> {
  const digest = await storage.digest(key);
  const isWhole = digest?.sha256 === manifest.log.sha256;
  const wanted = isWhole || digest === undefined ? manifest.log : digest;
  const faults: Fault[] = [];
  for await (const fault of withLocal(storage, key, wanted, (file) => compare(file, manifest))) {
    faults.push(fault);
    yield fault;
  }
  if (isWhole || faults.length > 0) return;
  const range = { from: BigInt(manifest.from), to: BigInt(manifest.to) };
  yield {
    code: 'ARCHIVE_DAMAGED',
    ...range,
    evidence: `the SHA-256 of ${manifest.log.name} is another; its records are whole`,
  };
}

/** Compares batch by batch, then the tree. */
async function* compare(
  file: FileHandle,
  manifest: Manifest,
): AsyncGenerator<Fault, void, undefined> {
  const hasher = new LeafHasher();
  const tree = new Frontier(frontierFromJson(manifest.before));
  let next = 0;
  let position = manifest.batches[0]?.first ?? 0;
  const range = (last: number) => ({ from: BigInt(position), to: BigInt(last) + 1n });
  try {
    for await (const records of batchesOf(file, manifest.log.name)) {
      const leaves = records.map((record) => hasher.hash(record));
      for (const leaf of leaves) tree.append(leaf);
      const said = manifest.batches[next];
      next += 1;
      const last = said?.last ?? lastOf(records);
      const isSame = said?.records === records.length && said.root === toHex(rootOf(leaves));
      if (!isSame) {
        const evidence = `batch ${next}: ${records.length} records, ${said?.records ?? 0} were archived; the root of their leaves is another`;
        yield { code: 'RECORDS_ALTERED', ...range(last), evidence };
      }
      position = last + 1;
    }
  } catch (error) {
    if (!(error instanceof ReachflowError)) throw error;
    const last = manifest.batches[next]?.last ?? Number(manifest.to) - 1;
    yield { code: 'ARCHIVE_DAMAGED', ...range(last), evidence: errorMessage(error) };
    return;
  }
  if (toHex(tree.root()) === manifest.after.root && next === manifest.batches.length) return;
  const all = { from: BigInt(manifest.from), to: BigInt(manifest.to) };
  yield {
    code: 'ARCHIVE_DIFFERS',
    ...all,
    evidence: 'its records do not lead to the root of its manifest',
  };
}

function lastOf(records: readonly LazyRecord[]): number {
  return Number(records.at(-1)?.offset ?? 0n);
}
