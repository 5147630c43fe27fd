import type { KafkaCluster } from './cluster.ts';
import { protocolError } from './kafkajs-internals.ts';
import { CODE } from './protocol-errors.ts';
import type { AbortedTransaction } from './read-committed.ts';
import {
  decodeFetched,
  decodeFetchedWith,
  type FetchedRecords,
  type MakeRecord,
} from './record-batch-decoder.ts';
import { FETCH, WireReader, WireWriter } from './wire.ts';

/** From where to read a partition. */
export interface FetchPosition {
  /** As the broker knows it. */
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
}

/** What a broker has of one partition; decoding is put off until it is asked for. */
export interface FetchedPartition extends FetchPosition {
  /** The protocol's error code; 0 is none. */
  readonly code: number;
  readonly highWatermark: bigint;
  /** Transactions that begin before it are decided; -1 where the broker did not say. */
  readonly lastStable: bigint;
  readonly bytes: Buffer;
  readonly aborted: readonly AbortedTransaction[];
}

export interface FetchLimits {
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly partitionMaxBytes: number;
}

const READ_COMMITTED = 1;

/**
 * One fetch of several partitions from one broker, without a consumer group and without a fetch session: only
 * what is stable is returned, aborted transactions listed (`decodeRecords` leaves them out).
 * @throws KafkaJS's errors when the request as a whole fails; those of single partitions are in `code`.
 */
export async function fetchPartitions(
  cluster: KafkaCluster,
  nodeId: number,
  positions: readonly FetchPosition[],
  limits: FetchLimits,
): Promise<FetchedPartition[]> {
  const body = [encodeRequest(positions, limits)];
  const waitMs = limits.maxWaitMs;
  const payload = await cluster.request(nodeId, { api: FETCH, body, waitMs });
  const from = new Map(positions.map((p) => [`${p.topic}/${p.partition}`, p.from]));
  const reader = new WireReader(payload);
  reader.int32();
  const code = reader.int16();
  if (code !== 0) throw protocolError(code);
  reader.int32();
  return reader
    .array(() => {
      const topic = reader.string();
      return reader.array(() => readPartition(reader, topic, from));
    })
    .flat();
}

function encodeRequest(positions: readonly FetchPosition[], limits: FetchLimits): Buffer {
  const byTopic = Map.groupBy(positions, ({ topic }) => topic);
  const request = new WireWriter(256).int32(-1).int32(limits.maxWaitMs).int32(1);
  request.int32(limits.maxBytes).int8(READ_COMMITTED).int32(0).int32(-1).int32(byTopic.size);
  for (const [topic, own] of byTopic) {
    request.string(topic).int32(own.length);
    for (const { partition, from } of own) {
      request.int32(partition).int32(-1).int64(from).int64(-1n).int32(limits.partitionMaxBytes);
    }
  }
  return request.int32(0).string('').done();
}

function readPartition(
  reader: WireReader,
  topic: string,
  from: ReadonlyMap<string, bigint>,
): FetchedPartition {
  const partition = reader.int32();
  const code = reader.int16();
  const highWatermark = reader.int64();
  const lastStable = reader.int64();
  reader.int64();
  const aborted = reader.array(() => ({
    producerId: String(reader.int64()),
    firstOffset: String(reader.int64()),
  }));
  reader.int32();
  const bytes = reader.bytes();
  const asked = from.get(`${topic}/${partition}`) ?? 0n;
  return { topic, partition, from: asked, code, highWatermark, lastStable, bytes, aborted };
}

/** The committed records of a fetch. @throws as `decodeFetched`. */
export function decodeRecords({ bytes, aborted, from }: FetchedPartition): FetchedRecords {
  return decodeFetched(bytes, aborted, from);
}

/** As `decodeRecords`, with another kind of record. @throws as `decodeFetchedWith`. */
export function decodeRecordsWith<R>(
  { bytes, aborted, from }: FetchedPartition,
  make: MakeRecord<R>,
): FetchedRecords<R> {
  return decodeFetchedWith(bytes, aborted, from, make);
}

/** True when another broker has to be asked from now on. */
export function isLeaderMove(code: number): boolean {
  return (
    code === CODE.notLeader ||
    code === CODE.unknownTopicOrPartition ||
    code === CODE.leaderNotAvailable ||
    code === 74 ||
    code === 75 ||
    code === 56
  );
}
