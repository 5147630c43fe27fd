import type { ReachflowError } from '../errors.ts';
import type { PartitionBatch, TopicPartition } from './record.ts';

/** The member lost its place in the group while it worked on a batch. Let it pass: the client joins again. */
export class GroupChanged extends Error {
  constructor(cause: unknown) {
    super('the consumer group is rebalancing', { cause });
    this.name = 'GroupChanged';
  }
}

export interface BatchControl {
  /** Keeps the member in its group while a batch takes long. @throws GroupChanged when the group is rebalancing. */
  heartbeat(): Promise<void>;
  /** True once this batch must not be worked on any more: shutdown, or the partition went elsewhere. */
  stale(): boolean;
  /**
   * True once the group is rebalancing: end the epoch under way, commit it and return. The member joins again when
   * all batches have returned; the rest of this batch comes again to whoever gets the partition.
   */
  rebalancing(): boolean;
  /** Stops fetching this partition until `resume`. */
  pause(): void;
  /** Commits the position after the batch to the group (consumers that do not commit in transactions). */
  commit(nextOffset: bigint): Promise<void>;
}

export interface PartitionHandler {
  /**
   * After every rebalance, with all partitions held; batches wait for it, and so does the next one of these: what takes
   * long is better begun here than awaited.
   */
  onAssigned(partitions: readonly TopicPartition[], consumer: PartitionConsumer): Promise<void>;
  /**
   * One batch of one partition; never two at once for the same partition within a generation. It must not wait: KafkaJS
   * fetches from a broker again only when all batches of the last fetch have returned, so that one that waits holds up
   * all partitions of that broker. To wait, `pause` and `seek` to where to go on, return, and `resume` later.
   */
  onBatch(batch: PartitionBatch, control: BatchControl): Promise<void>;
  /**
   * Everything up to `nextOffset` was read and holds no record: markers and aborted transactions. Commit it,
   * or the group seems to lag behind for ever. @param fetchedFrom where that fetch began.
   */
  onNothing(
    topic: string,
    partition: number,
    nextOffset: bigint,
    fetchedFrom: bigint,
  ): Promise<void>;
  /**
   * The member is about to join its group again, and may lose any partition: no batch is under way, none comes before
   * `onAssigned`. End and commit what goes on besides batches. It is waited for, for half of the session timeout.
   */
  onRebalance?(): Promise<void>;
}

export interface PartitionConsumerOptions {
  /** Logical group name. */
  readonly group: string;
  /** Logical topic names. */
  readonly topics: readonly string[];
  readonly handler: PartitionHandler;
  /** The broker answers a fetch once it has this many bytes… */
  readonly minBytes: number;
  /** …or this much time has passed, ms. */
  readonly maxWaitMs: number;
  /** Partitions worked on at the same time. */
  readonly concurrency: number;
  /**
   * `round-robin` (default without `warm`) spreads all partitions of all topics; `co-partitioned` gives partition p of every topic
   * to the same member, and leaves partitions where they are as far as balance allows (`assignor.ts`).
   */
  readonly assignment?: 'round-robin' | 'co-partitioned';
  /** Partition numbers whose state is on this machine: preferred where nobody holds them. Implies `co-partitioned`. */
  readonly warm?: () => readonly number[];
  /** Partitions that this member gets are paused until `resume`; a kept one stays as it is. */
  readonly startPaused?: boolean;
  /** Called once when the consumer gave up for good. */
  readonly onFatal: (error: ReachflowError) => void;
}

/** Where a member stands in its group. */
export interface MemberStatus {
  /** Undefined before the member has joined. */
  readonly memberId: string | undefined;
  /** Of the group when this member joined it last; -1 before, and always with `round-robin`. */
  readonly generation: number;
  readonly assigned: readonly TopicPartition[];
  readonly rebalancing: boolean;
  /**
   * When the coordinator last confirmed that the member is in its group, ms since the epoch; 0 before it joined. One
   * that was frozen for longer than the session timeout has to assume that its partitions went elsewhere.
   */
  readonly confirmedAt: number;
}

export interface PartitionConsumer {
  /** Commits a position to the group. */
  commit(topic: string, partition: number, nextOffset: bigint): Promise<void>;
  /** Stops fetching a partition; what is fetched already may still come. Stays across rebalances. */
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /**
   * Reading goes on at `offset`; batches fetched before are dropped, and the one under way counts as not read. Commits
   * nothing. Ignored for a partition that is not held.
   */
  seek(topic: string, partition: number, offset: bigint): void;
  describe(): MemberStatus;
  /** Finishes the batches under way, leaves the group. Idempotent. */
  stop(): Promise<void>;
}
