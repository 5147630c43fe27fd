import type { OffsetRange } from './sink.ts';

/** Where a lane begins. */
export interface Start {
  /** The position: where the range before ended. */
  readonly position: bigint;
  /** Where reading begins, at or after `position`: what lies between is gone. */
  readonly from: bigint;
  /** The end of a range that was about to be written and has to be written as it was. */
  readonly plannedEnd?: bigint;
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
  /** First offset that is still there. */
  readonly low: bigint;
  /** Next offset on the broker. */
  readonly high: bigint;
}

/** How a lane's position survives a crash; one implementation for each delivery mode. */
export interface PositionProtocol {
  /** Called before the first batch, and again after `SINK_FENCED`. @throws ReachflowError. */
  open(): Promise<Start>;
  /** Called before the range is written. @throws as `GroupPositions.commit`. */
  begin(range: OffsetRange): Promise<void>;
  /**
   * Called when all records of the range are settled.
   * @param nextEnd the end of the range that is written next, where that is known already.
   * @throws as `GroupPositions.commit`.
   */
  end(range: OffsetRange, nextEnd: bigint | undefined): Promise<void>;
  /** Offsets up to `position` hold nothing to write, and nothing is under way. @throws as `end`. */
  idle(position: bigint): Promise<void>;
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
