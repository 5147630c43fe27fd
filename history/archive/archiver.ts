import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { readPartitionLazily } from '../../runtime/kafka/partition-reader.ts';
import type { BatchSpan } from '../../runtime/kafka/record-batch-decoder.ts';
import { isTopicName, topics } from '../../schemas/topics.ts';
import { recordHeads } from '../head-log.ts';
import { Frontier, type FrontierState } from '../merkle/frontier.ts';
import { OffsetCounter, type OffsetRange } from '../verify/offsets.ts';
import { readManifest, segmentNames } from './catalog.ts';
import type { ArchiveConfig } from './config.ts';
import { type ArchivePlace, partitionPrefix, segmentKey } from './layout.ts';
import { frontierFromJson, frontierToJson, headOf, type Manifest } from './manifest.ts';
import { OpenSegment, type OpenSegmentDeps } from './open-segment.ts';

export interface ArchiverDeps extends OpenSegmentDeps {
  readonly client: KafkaClient;
  readonly storage: CheckpointStorage;
  readonly config: Pick<ArchiveConfig, 'segmentBytes' | 'segmentAgeMs'>;
}

export interface ArchivePartitionOptions {
  readonly place: ArchivePlace;
  /** First offset that is there, and behind the last committed one. */
  readonly low: bigint;
  readonly end: bigint;
  /** Closes the last segment, too, however small and young it is. */
  readonly all?: boolean;
  /** A segment is in the archive. */
  readonly onSegment?: (manifest: Manifest) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What was done. */
export interface Archived {
  readonly segments: number;
  readonly records: number;
  readonly bytes: number;
  /** Where the archive ends now. */
  readonly next: bigint;
  /** What retention removed before it was archived; undefined where nothing is missing. */
  readonly lost: OffsetRange | undefined;
  readonly missingClaims: number;
}

/** Where the archive of a partition goes on. */
interface Start {
  readonly next: bigint;
  readonly origin: bigint;
  readonly before: FrontierState;
  readonly lost: OffsetRange | undefined;
}

/** Records between two looks at how large the segment is. */
const CHUNK_RECORDS = 500;
const EMPTY: FrontierState = { size: 0, nodes: [] };

/**
 * Archives what a partition has behind the end of its archive. A segment's objects are stored first, under names with their
 * hash, then its manifest, which makes them one; then its head is recorded. Killed at any point it goes on where the last
 * manifest ends: what has none is written again. Two at a time do the work twice, and no harm.
 * @throws ReachflowError as `readPartition`, as the storage does, and as `OpenSegment.add`.
 */
export async function archivePartition(
  deps: ArchiverDeps,
  options: ArchivePartitionOptions,
): Promise<Archived> {
  const start = await startOf(deps, options);
  const work = new Work(deps, options, start);
  const { topic, partition } = options.place;
  const { signal } = options;
  try {
    if (options.end > start.next) {
      await readPartitionLazily(deps.client, {
        ...{ topic, partition, from: start.next, to: options.end },
        ...(signal === undefined ? {} : { signal }),
        onRecords: (records, next, spans) => work.take(records, next, spans),
      });
    }
    await work.end();
    return work.done(start.lost);
  } finally {
    await work.discard();
  }
}

async function startOf(
  { client, storage }: ArchiverDeps,
  { place, low }: ArchivePartitionOptions,
): Promise<Start> {
  const last = (await segmentNames(storage, place)).at(-1);
  if (last === undefined) return { next: low, origin: low, before: EMPTY, lost: undefined };
  const manifest = await readManifest(storage, place, last);
  // A crash may have come between the manifest and its head.
  await recordHeads(client, [headOf(manifest)]);
  if (low > last.to) {
    // The records between are not known: a tree of its own begins behind them.
    return { next: low, origin: low, before: EMPTY, lost: { from: last.to, to: low } };
  }
  const before = frontierFromJson(manifest.after);
  return { next: last.to, origin: BigInt(manifest.origin), before, lost: undefined };
}

type Take = NonNullable<Parameters<typeof readPartitionLazily>[1]['onRecords']>;

/** One run over a partition. */
class Work {
  readonly #deps: ArchiverDeps;
  readonly #options: ArchivePartitionOptions;
  readonly #origin: bigint;
  #before: FrontierState;
  #from: bigint;
  #next: bigint;
  #segment: OpenSegment | undefined;
  /** Of the batches since the segment began. */
  #spans: BatchSpan[] = [];
  #segments = 0;
  #records = 0;
  #bytes = 0;
  #missingClaims = 0;

  constructor(deps: ArchiverDeps, options: ArchivePartitionOptions, start: Start) {
    this.#deps = deps;
    this.#options = options;
    this.#origin = start.origin;
    this.#before = start.before;
    this.#from = start.next;
    this.#next = start.next;
  }

  readonly take: Take = async (records, next, spans) => {
    this.#spans.push(...spans);
    for (let i = 0; i < records.length; i += CHUNK_RECORDS) {
      const some = records.slice(i, i + CHUNK_RECORDS);
      this.#segment ??= await this.#open();
      await this.#segment.add(some);
      const last = some.at(-1)?.offset ?? next;
      this.#next = i + CHUNK_RECORDS < records.length ? last + 1n : next;
      if (this.#segment.bytes >= this.#deps.config.segmentBytes) await this.#close();
    }
    this.#next = next;
  };

  async #open(): Promise<OpenSegment> {
    const { storage } = this.#deps;
    const name = `${process.pid}-${randomBytes(6).toString('hex')}`;
    const dir = join(storage.stagingDir ?? tmpdir(), `archive-${name}`);
    await mkdir(dir, { recursive: true });
    try {
      return await OpenSegment.open(
        this.#deps,
        this.#options.place.topic,
        dir,
        this.#from,
        this.#before,
      );
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Closes what is open where it is old enough, or all is to be closed. */
  async end(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return;
    const isOld = segment.writer.minTimestamp + this.#deps.config.segmentAgeMs <= Date.now();
    if (this.#options.all === true || isOld) await this.#close();
  }

  async #close(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return;
    const manifest = await this.#store(segment);
    await recordHeads(this.#deps.client, [headOf(manifest)]);
    await segment.discard();
    this.#segment = undefined;
    this.#before = frontierFromJson(manifest.after);
    this.#from = this.#next;
    this.#spans = this.#spans.filter(({ last }) => last >= Number(this.#next));
    this.#segments += 1;
    this.#records += manifest.records;
    this.#bytes += manifest.bytes;
    this.#missingClaims += manifest.missingClaims;
    this.#options.onSegment?.(manifest);
  }

  async #store(segment: OpenSegment): Promise<Manifest> {
    const { storage } = this.#deps;
    const { place } = this.#options;
    const written = await segment.writer.finish();
    const { log } = written;
    const key = segmentKey(place, {
      from: segment.from,
      to: this.#next,
      digest: log.sha256.slice(0, 16),
    });
    const stem = key.slice(partitionPrefix(place).length);
    const pack = await segment.claims?.finish();
    await storage.putFile(`${key}.log`, segment.writer.path);
    if (segment.claims !== undefined) await storage.putFile(`${key}.claims`, segment.claims.path);
    const { tree } = segment.writer;
    const counter = new OffsetCounter(segment.from, this.#next);
    counter.add(this.#spans);
    const { holes: _holes, ...gaps } = counter.account(this.#next);
    const manifest: Manifest = {
      format: 'reachflow-archive-1',
      ...{ topic: place.topic, partition: place.partition, topicId: place.topicId ?? null },
      ...{ from: String(segment.from), to: String(this.#next), origin: String(this.#origin) },
      ...written,
      gaps,
      log: { name: `${stem}.log`, ...log },
      claims:
        pack === undefined
          ? null
          : { name: `${stem}.claims`, ...pack, payloads: segment.claims?.payloads ?? 0 },
      missingClaims: segment.missingClaims,
      before: frontierToJson(segment.writer.before, new Frontier(segment.writer.before).root()),
      after: frontierToJson(tree.state(), tree.root()),
      schemas: segment.schemas,
      keyFormat: isTopicName(place.topic) ? topics[place.topic].keyFormat : 'bytes',
      createdAt: Date.now(),
    };
    await storage.putBytes(`${key}.json`, Buffer.from(JSON.stringify(manifest)));
    return manifest;
  }

  done(lost: OffsetRange | undefined): Archived {
    return {
      ...{ segments: this.#segments, records: this.#records, bytes: this.#bytes },
      ...{ next: this.#from, lost, missingClaims: this.#missingClaims },
    };
  }

  async discard(): Promise<void> {
    await this.#segment?.discard();
  }
}
