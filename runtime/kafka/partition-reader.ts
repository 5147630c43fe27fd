import { ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaCluster } from './cluster.ts';
import { leaseCluster } from './cluster-lease.ts';
import {
  decodeRecords,
  decodeRecordsWith,
  type FetchedPartition,
  type FetchLimits,
  type FetchPosition,
  fetchPartitions,
} from './fetch.ts';
import { protocolError } from './kafkajs-internals.ts';
import { LazyRecord } from './lazy-record.ts';
import { requestOffsets } from './partition-offsets.ts';
import { CODE, isTransient } from './protocol-errors.ts';
import type { KafkaRecord } from './record.ts';
import type { BatchSpan, FetchedRecords } from './record-batch-decoder.ts';

export interface ReadPartitionOptions<R extends KafkaRecord = KafkaRecord> {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  /** First offset to hand over. */
  readonly from: bigint;
  /**
   * Where to stop, exclusive; absent: the last stable offset at the start. What was committed a moment ago may not be
   * stable yet, as its marker is written after the commit was answered; once InitProducerId of its writer's id was
   * answered, it is.
   */
  readonly to?: bigint;
  /**
   * Committed records, ascending, and where reading goes on behind them; called also without records, where there
   * are only markers and aborted transactions. The next call waits for the promise. What it throws ends the read.
   * The records' bytes are views of a fetch of several MB: copy what is kept for long.
   * @param spans of the batches that they came in, whole, even where reading began or ends within one.
   */
  readonly onRecords: (
    records: readonly R[],
    nextOffset: bigint,
    spans: readonly BatchSpan[],
  ) => void | Promise<void>;
  /** Ends the read, at once unless `onRecords` is at work. */
  readonly signal?: AbortSignal;
}

/** Each fetch asks for so much; one more is under way while its records are handed over. */
const FETCH_BYTES = 4_194_304;
const LIMITS = { maxWaitMs: 250, maxBytes: FETCH_BYTES, partitionMaxBytes: FETCH_BYTES };
const FETCH_TIMEOUT_MS = 30_000;
/** How long to wait at an undecided transaction, ms; it is aborted for its age before. */
const STALL_MS = 60_000;

/**
 * Reads a stretch of one partition from its leader, without a consumer group: only committed transactions.
 * @returns where reading ended: `to`, or `from` when that is behind it.
 * @throws ReachflowError `OFFSET_OUT_OF_RANGE` when `from` is not there (any more), `READ_STALLED` (retry: backoff)
 *   when an undecided transaction before `to` holds readers back for a minute, `KAFKA_UNAVAILABLE` (retry: backoff),
 *   what decoding throws, and the signal's reason.
 */
export function readPartition(
  client: KafkaClient,
  options: ReadPartitionOptions,
): Promise<{ readonly nextOffset: bigint }> {
  return read(client, options, decodeRecords);
}

/** As `readPartition`, for who needs little of each record. */
export function readPartitionLazily(
  client: KafkaClient,
  options: ReadPartitionOptions<LazyRecord>,
): Promise<{ readonly nextOffset: bigint }> {
  return read(client, options, decodeLazily);
}

export interface ReadChunkOptions {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  /** About as much is read; a first batch that is larger comes whole. */
  readonly maxBytes: number;
}

/** As `readChunk`, with records that are decoded as far as they are asked for. @throws as `readChunk`. */
export function readChunkLazily(
  client: KafkaClient,
  options: ReadChunkOptions,
): Promise<FetchedRecords<LazyRecord>> {
  return readOnce(client, options, decodeLazily);
}

/**
 * One fetch of one partition, for who reads as fast as somebody else takes it: only committed transactions.
 * @returns the records, and where reading goes on; that is `from` where nothing is committed beyond it.
 * @throws ReachflowError as `readPartition`, without `READ_STALLED`.
 */
export function readChunk(client: KafkaClient, options: ReadChunkOptions): Promise<FetchedRecords> {
  return readOnce(client, options, decodeRecords);
}

async function readOnce<R>(
  client: KafkaClient,
  { topic, partition, from, maxBytes }: ReadChunkOptions,
  decode: Decode<R>,
): Promise<FetchedRecords<R>> {
  const { cluster, release } = leaseCluster(client);
  const position = { topic: client.physical(topic), partition, from };
  const limits = { maxWaitMs: 10, maxBytes, partitionMaxBytes: maxBytes };
  try {
    return decode(await fetchFrom(cluster, position, limits));
  } catch (error) {
    if (error instanceof ReachflowError) throw error;
    throw kafkaUnavailable(`${topic}[${partition}] cannot be read`, error);
  } finally {
    release();
  }
}

type Decode<R> = (fetched: FetchedPartition) => FetchedRecords<R>;

function decodeLazily(fetched: FetchedPartition): FetchedRecords<LazyRecord> {
  return decodeRecordsWith(fetched, (...record) => new LazyRecord(...record));
}

async function read<R extends KafkaRecord>(
  client: KafkaClient,
  options: ReadPartitionOptions<R>,
  decode: Decode<R>,
): Promise<{ readonly nextOffset: bigint }> {
  const { topic, partition } = options;
  const { cluster, release } = leaseCluster(client);
  const source = { topic: client.physical(topic), partition };
  let handing = false;
  const onRecords: typeof options.onRecords = async (records, nextOffset, spans) => {
    handing = true;
    await options.onRecords(records, nextOffset, spans);
    handing = false;
  };
  try {
    const to = options.to ?? (await requestOffsets(cluster, [source]))[0]?.lastStable ?? 0n;
    const { from, signal = NEVER } = options;
    return await readStretch(cluster, { ...source, from, to, onRecords, signal }, decode);
  } catch (error) {
    if (handing || options.signal?.aborted === true || error instanceof ReachflowError) throw error;
    throw kafkaUnavailable(`${topic}[${partition}] cannot be read`, error);
  } finally {
    release();
  }
}

type Stretch<R extends KafkaRecord> = Required<ReadPartitionOptions<R>>;

const NEVER = new AbortController().signal;

/** Rejects with the signal's reason as soon as it aborts; what is under way is left to itself. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Its failure is seen below; once it is aborted, nobody waits for it.
  work.catch(() => undefined);
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function readStretch<R extends KafkaRecord>(
  cluster: KafkaCluster,
  { topic, partition, from, to, onRecords, signal }: Stretch<R>,
  decode: Decode<R>,
): Promise<{ readonly nextOffset: bigint }> {
  let position = from;
  let movedAt = performance.now();
  const source = { topic, partition };
  let fetching = position < to ? fetchFrom(cluster, { ...source, from: position }) : undefined;
  while (fetching !== undefined) {
    const { records, nextOffset, spans } = decode(await unlessAborted(fetching, signal));
    if (nextOffset === position) {
      if (performance.now() - movedAt > STALL_MS) throw stalled(topic, partition, position);
      fetching = fetchFrom(cluster, { ...source, from: position });
      continue;
    }
    movedAt = performance.now();
    position = nextOffset;
    fetching = undefined;
    if (position < to) {
      fetching = fetchFrom(cluster, { ...source, from: position });
      // Its failure is seen when it is awaited; should onRecords throw before, nobody waits for it.
      fetching.catch(() => undefined);
    }
    while ((records.at(-1)?.offset ?? -1n) >= to) records.pop();
    await onRecords(records, position < to ? position : to, spans);
  }
  return { nextOffset: from > to ? from : to };
}

async function fetchFrom(
  cluster: KafkaCluster,
  position: FetchPosition,
  limits: FetchLimits = LIMITS,
): Promise<FetchedPartition> {
  const { topic, partition, from } = position;
  return cluster.retrying({ timeoutMs: FETCH_TIMEOUT_MS, pauseMs: 20 }, async () => {
    try {
      const leader = await cluster.leader(topic, partition);
      const [fetched] = await fetchPartitions(cluster, leader, [position], limits);
      const code = fetched?.code ?? CODE.unknownTopicOrPartition;
      if (code === CODE.offsetOutOfRange) throw outOfRange(topic, partition, from);
      if (fetched === undefined || code !== 0) throw protocolError(code);
      return fetched;
    } catch (error) {
      if (isTransient(error)) cluster.forgetLeaders(topic);
      throw error;
    }
  });
}

function outOfRange(topic: string, partition: number, from: bigint): ReachflowError {
  return new ReachflowError(`${topic}[${partition}] does not have offset ${from} (any more)`, {
    code: 'OFFSET_OUT_OF_RANGE',
    domain: 'external',
    hint: 'The records were deleted by retention or after a checkpoint; or the topic was made anew.',
  });
}

/** Reading makes no progress: a transaction is undecided for too long. */
export function stalled(topic: string, partition: number, position: bigint): ReachflowError {
  return new ReachflowError(`reading ${topic}[${partition}] stands still at ${position}`, {
    code: 'READ_STALLED',
    domain: 'external',
    retry: 'backoff',
    hint: 'A transaction that was never ended may hold readers back until it times out.',
  });
}
