import type { Head } from '../head.ts';
import type { OffsetAccount, OffsetRange } from './offsets.ts';
import type { Stretch } from './tree-check.ts';

/** What is wrong with a history. */
export type FaultCode =
  /** Between two heads there are other records than were recorded. */
  | 'RECORDS_ALTERED'
  | 'RECORDS_MISSING'
  | 'RECORDS_ADDED'
  /** Offsets that no batch has, in a topic that is not compacted. */
  | 'OFFSETS_MISSING'
  /** A batch's checksum, or its format. */
  | 'BATCH_DAMAGED'
  /** A head does not fit those around it, or not itself. */
  | 'HEAD_ALTERED'
  /** Heads are of a topic that had this name before. */
  | 'TOPIC_REPLACED'
  /** An object of the archive is not what its manifest says, or not there. */
  | 'ARCHIVE_DAMAGED'
  /** The archive and the recorded heads, or the topic, say different things. */
  | 'ARCHIVE_DIFFERS'
  /** Offsets that the archive should have. */
  | 'ARCHIVE_GAP';

/** One thing that is wrong, and where. */
export interface Fault {
  readonly code: FaultCode;
  /** First offset that may be concerned. */
  readonly from: bigint;
  /** Exclusive. */
  readonly to: bigint;
  /** For people: what was found, and what was recorded. */
  readonly evidence: string;
  /** Offsets of the records that differ, the first of them, where another copy tells. */
  readonly offsets?: readonly bigint[];
}

/** What the verification of a partition found. */
export interface PartitionReport {
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  /** First offset that the broker still has; that of the archive where it is about one. */
  readonly low: bigint;
  /** Behind the last committed record. */
  readonly end: bigint;
  /** What was read. */
  readonly from: bigint;
  readonly to: bigint;
  readonly records: number;
  /** Of keys, values and headers. */
  readonly bytes: number;
  readonly account: OffsetAccount;
  /** Whether compaction may remove records of the topic. */
  readonly isCompacted: boolean;
  readonly stretches: readonly Stretch[];
  /** Proven, of `from` to `to`: ranges that touch are one. */
  readonly proven: readonly OffsetRange[];
  /** Fewer records than were recorded, as compaction leaves them: neither proven nor refuted. */
  readonly thinned: readonly OffsetRange[];
  /** What was recorded and is not there any more, by retention; undefined where all is. */
  readonly expired: OffsetRange | undefined;
  /** What is not recorded: behind the last head, before the first, or all. */
  readonly unrecorded: readonly OffsetRange[];
  readonly faults: readonly Fault[];
  /** The tree at `to`, where it can be recorded. */
  readonly head: Head | undefined;
}
