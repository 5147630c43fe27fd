import { ReachflowError } from '../errors.ts';
import type { OffsetRange } from './sink.ts';

/** A range from the position on that is about to be written. */
export interface PlannedRange {
  readonly end: bigint;
  /** See `OffsetRange.origin`; undefined where an older version planned it. */
  readonly origin: string | undefined;
  /** How far the retry topic had been read when it was last decided what to leave out; undefined likewise. */
  readonly seen: bigint | undefined;
}

/** Where a lane begins. */
export interface Start {
  /** The position: where the range before ended. */
  readonly position: bigint;
  /** Where reading begins, at or after `position`: what lies between is gone. */
  readonly from: bigint;
  /** The range that was about to be written and has to be written as it was. */
  readonly planned?: PlannedRange;
  /** Of the claim; 0 without. */
  readonly epoch: bigint;
}

/** The positions that a consumer group keeps for one partition, written under the member's generation. */
export interface GroupPositions {
  /** As of the assignment: what the owner before left. */
  committed(): Promise<CommittedPosition>;
  /**
   * @throws ReachflowError `GROUP_CHANGED` when the member is not of the group's present generation;
   *   `KAFKA_UNAVAILABLE` (retry: backoff).
   */
  commit(offset: bigint, metadata?: string): Promise<void>;
}

export interface CommittedPosition {
  /** Undefined where nothing is committed. */
  readonly offset: bigint | undefined;
  readonly metadata: string;
  /** Tells the topic from others that had its name before; undefined where the brokers do not say. */
  readonly topicId?: string | undefined;
  /** It was committed for this very topic, as far as can be told; false where that cannot be told. */
  readonly isOfTopic: boolean;
  /** It was committed for another topic, which had the name before. */
  readonly isOther: boolean;
  /** First offset that is still there. */
  readonly low: bigint;
  /** Where readers of committed records end. */
  readonly high: bigint;
  /** Next offset on the broker, undecided transactions included. */
  readonly end: bigint;
}

/** How a lane's position survives a crash; one implementation for each delivery mode. */
export interface PositionProtocol {
  /** Called before the first batch, and again after `SINK_FENCED`. @throws ReachflowError. */
  open(): Promise<Start>;
  /**
   * Called before the range is written, and again before what is left of it is when records were left out.
   * @param seen how far the retry topic was read when it was decided what to leave out.
   * @param isLess records were left out that are in the retry topic or the DLQ since. That is committed, however well the
   *   range is planned already: a member that is not of the group's generation any more must not write the rest, since its
   *   heir may take what it has sent for void.
   * @throws as `GroupPositions.commit`.
   */
  begin(range: OffsetRange, seen: bigint, isLess: boolean): Promise<void>;
  /**
   * Called when all records of the range are settled.
   * @param next the range that is written next, where that is known already.
   * @throws as `GroupPositions.commit`.
   */
  end(range: OffsetRange, next: PlannedRange | undefined): Promise<void>;
  /** Offsets up to `position` hold nothing to write, and nothing is under way. @throws as `end`. */
  idle(position: bigint): Promise<void>;
}

/**
 * The position that a group has of this very topic, and no other.
 * @throws ReachflowError `INPUT_REPLACED` (domain user).
 */
export async function committedOf(
  group: GroupPositions,
  topic: string,
  partition: number,
): Promise<CommittedPosition> {
  const found = await group.committed();
  if (found.isOther) throw inputReplaced(topic, partition, found.offset);
  return found;
}

/** The topic is not the one that a position is of: its offsets say nothing of the records that are there now. */
export function inputReplaced(
  topic: string,
  partition: number,
  position: bigint | undefined,
): ReachflowError {
  return new ReachflowError(
    `${topic}[${partition}] is not the topic that was delivered up to ${position}: it was deleted and made anew`,
    {
      code: 'INPUT_REPLACED',
      domain: 'user',
      hint: "Delete the offsets of the sink's consumer group for it, and the position where the store keeps one, to deliver it from its start.",
    },
  );
}

/** A position, and where reading begins: what retention has deleted is passed over. */
export function startAt(position: bigint, low: bigint): Pick<Start, 'position' | 'from'> {
  if (position < low) return { position, from: low };
  return { position, from: position };
}

/** Where to begin by the group's offset; a topic that ends before that is another one than was read. */
export function startOf({
  offset,
  low,
  high,
}: CommittedPosition): Pick<Start, 'position' | 'from'> {
  return startAt(offset === undefined || offset > high ? low : offset, low);
}
