import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { readPartitionLazily } from '../../runtime/kafka/partition-reader.ts';
import type { BatchSpan } from '../../runtime/kafka/record-batch-decoder.ts';
import type { Head } from '../head.ts';
import { isSound } from '../head.ts';
import { LeafHasher } from '../leaf.ts';
import { type Anchor, anchor } from './anchor.ts';
import { conclude } from './conclude.ts';
import { OffsetCounter, type OffsetRange } from './offsets.ts';
import type { Fault, PartitionReport } from './report.ts';
import { TreeCheck } from './tree-check.ts';

/** How far the reading of a partition is. */
export interface VerifyProgress {
  /** Offsets that are done, of `total`. */
  readonly done: number;
  readonly total: number;
  /** Of keys, values and headers. */
  readonly bytes: number;
}

export interface VerifyPartitionOptions {
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  /** First offset that is there, and behind the last committed one. */
  readonly low: bigint;
  readonly end: bigint;
  /** Every head that was recorded of the partition, ascending. */
  readonly heads: readonly Head[];
  readonly topicId: string | undefined;
  readonly isCompacted: boolean;
  readonly from?: bigint | undefined;
  readonly to?: bigint | undefined;
  /** Reads on behind the last head, and gives the new one. */
  readonly isExtended?: boolean;
  /** With `isExtended`: does not read again what was recorded. */
  readonly isNewOnly?: boolean;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a partition and compares it with the heads that were recorded of it.
 * @throws ReachflowError as `readPartition`, but for `CORRUPT_RECORDS`, which is a fault that it reports.
 */
export async function verifyPartition(
  client: KafkaClient,
  options: VerifyPartitionOptions,
): Promise<PartitionReport> {
  const { topic, partition, low, end, topicId, isCompacted } = options;
  const own = options.heads.filter((head) => isOfTopic(head, topicId));
  const at = anchor({
    ...{ heads: own, low, end, from: options.from, to: options.to },
    ...{ isExtended: options.isExtended === true, isNewOnly: options.isNewOnly === true },
  });
  const check = new TreeCheck(at.heads, at.from, at.start);
  const read = await readAll(client, options, at, check);
  const account = read.counter.account(read.to);
  const concluded = conclude(check.stretches, account, isCompacted);
  const faults = [...headFaults(options.heads, own), ...read.faults, ...concluded.faults];
  // Behind the last head, all that was to be read was.
  const isNew = at.to > (at.heads.at(-1)?.nextOffset ?? at.from);
  const isWhole = faults.length === 0 && read.to === at.to && isNew;
  return {
    ...{ topic, partition, low, end, from: at.from, to: read.to, account, isCompacted },
    ...{ records: read.records, bytes: read.bytes, stretches: check.stretches },
    ...{ proven: concluded.proven, thinned: concluded.thinned, faults },
    expired: expiredOf(own, low),
    unrecorded: unrecordedOf(at, low, end, own),
    head: isWhole ? headOf(options, at, check) : undefined,
  };
}

function headOf(
  { topic, partition, topicId }: VerifyPartitionOptions,
  { origin, to }: Anchor,
  { tree }: TreeCheck,
): Head {
  const [root, frontier] = [tree.root(), tree.state()];
  const place = { topic, partition, topicId, origin, nextOffset: to };
  return { ...place, root, frontier, recordedAt: Date.now(), by: 'verify' };
}

interface Read {
  readonly counter: OffsetCounter;
  readonly records: number;
  readonly bytes: number;
  readonly to: bigint;
  readonly faults: readonly Fault[];
}

async function readAll(
  client: KafkaClient,
  { topic, partition, onProgress, signal }: VerifyPartitionOptions,
  { from, to }: Anchor,
  check: TreeCheck,
): Promise<Read> {
  const hasher = new LeafHasher();
  const counter = new OffsetCounter(from, to);
  let [records, bytes, position] = [0, 0, from];
  const faults: Fault[] = [];
  const onRecords = (batch: readonly LazyRecord[], next: bigint, spans: readonly BatchSpan[]) => {
    for (const record of batch) {
      check.append(hasher.hash(record), record.offset);
      bytes += record.bytes;
    }
    records += batch.length;
    position = next;
    counter.add(spans);
    check.reached(next);
    onProgress?.({ done: Number(next - from), total: Number(to - from), bytes });
  };
  try {
    const limits = signal === undefined ? {} : { signal };
    await readPartitionLazily(client, { topic, partition, from, to, onRecords, ...limits });
  } catch (error) {
    if (!(error instanceof ReachflowError) || error.code !== 'CORRUPT_RECORDS') throw error;
    faults.push({ code: 'BATCH_DAMAGED', from: position, to, evidence: error.message });
  }
  return { counter, records, bytes, to: position, faults };
}

function isOfTopic(head: Head, topicId: string | undefined): boolean {
  return topicId === undefined || head.topicId === undefined || head.topicId === topicId;
}

function headFaults(all: readonly Head[], own: readonly Head[]): Fault[] {
  const faults: Fault[] = own
    .filter((head) => !isSound(head))
    .map(({ nextOffset: from }) => ({
      ...({ code: 'HEAD_ALTERED', from, to: from + 1n } as const),
      evidence: 'its root is not that of its subtrees',
    }));
  const others = all.filter((head) => !own.includes(head));
  const [first] = others;
  if (first === undefined || own.length > 0) return faults;
  const evidence = `${others.length} heads are of another topic of this name (id ${first.topicId}), which was deleted`;
  return [
    ...faults,
    { code: 'TOPIC_REPLACED', from: 0n, to: others.at(-1)?.nextOffset ?? 0n, evidence },
  ];
}

function expiredOf(own: readonly Head[], low: bigint): OffsetRange | undefined {
  const origin = own.reduce<bigint | undefined>(
    (least, head) => (least === undefined || head.origin < least ? head.origin : least),
    undefined,
  );
  return origin === undefined || origin >= low ? undefined : { from: origin, to: low };
}

/** Before the first head that is left, and behind the last. */
function unrecordedOf(at: Anchor, low: bigint, end: bigint, own: readonly Head[]): OffsetRange[] {
  const last = own.at(-1)?.nextOffset ?? low;
  const first =
    own.length === 0
      ? low
      : at.origin >= low
        ? at.origin
        : (own.find(({ nextOffset }) => nextOffset >= low)?.nextOffset ?? low);
  const ranges = [
    { from: low, to: first },
    { from: last > low ? last : low, to: end },
  ];
  return ranges.filter(({ from, to }) => to > from);
}
