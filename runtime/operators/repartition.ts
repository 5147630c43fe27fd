import type { Serde } from '../state/contract.ts';
import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { isTraced, type SourceRecord, type StreamRecord, withTrace } from '../topology/record.ts';
import { BatchPacker } from './packed-batch.ts';

/** A packed record is sent once it is as large as this, and at the epoch's end; the broker takes 1 MB. */
const MAX_PACKED_BYTES = 500_000;
/** How often a partition that gets no entries is told how far the task is, ms. */
const HEARTBEAT_MS = 500;
/** The same while the task is idle: its watermark follows the wall clock then, and need not cost a transaction each time. */
const IDLE_HEARTBEAT_MS = 5_000;

interface Target {
  readonly partition: number;
  readonly packer: BatchPacker;
  saidWatermark: number;
  saidIdle: boolean | undefined;
  saidAt: number;
  /** First traced one of what is packed. */
  traced: SourceRecord | undefined;
}

/**
 * Sends records to the task that owns their key: packed, one record per epoch and partition. Partitions that get
 * nothing are told the watermark now and then, so that windows close although a partition of them is silent. A packed
 * record has one trace, of the first of its entries that has any: it goes on in the task that unpacks it.
 */
export function repartitionOperator(topic: string, serde: Serde<unknown>): OperatorFactory {
  return (context) => new RepartitionOperator(context, topic, serde);
}

class RepartitionOperator implements Operator {
  readonly #context: OperatorContext;
  readonly #topic: string;
  readonly #serde: Serde<unknown>;
  readonly #targets: Target[];
  #timestamp = 0;

  constructor(context: OperatorContext, topic: string, serde: Serde<unknown>) {
    this.#context = context;
    this.#topic = topic;
    this.#serde = serde;
    this.#targets = Array.from({ length: context.epoch.partitionsOf(topic) }, (_, partition) => ({
      partition,
      packer: new BatchPacker(),
      saidWatermark: Number.NEGATIVE_INFINITY,
      saidIdle: undefined,
      saidAt: 0,
      traced: undefined,
    }));
  }

  start(): void {
    this.#context.wakeAtWallClock(this.#context.now() + HEARTBEAT_MS);
  }

  process(record: StreamRecord): void {
    const target = this.#targets[this.#context.epoch.partitionFor(this.#topic, record.key)];
    if (target === undefined) throw new Error(`${this.#topic} has lost partitions`);
    const value = this.#serde.encode(record.value);
    target.packer.add(record.key, record.timestamp, record.watermark, value);
    if (target.traced === undefined && isTraced(record.source)) target.traced = record.source;
    const at = record.source.record.timestamp;
    if (at > this.#timestamp) this.#timestamp = at;
    // What the task has reached is told with the epoch's last record only: an entry may follow.
    if (target.packer.bytes >= MAX_PACKED_BYTES) this.#send(target, target.saidWatermark, false);
  }

  endEpoch(): void {
    const watermark = this.#context.watermark();
    const idle = this.#context.isIdle();
    const now = this.#context.now();
    const quietMs = idle ? IDLE_HEARTBEAT_MS : HEARTBEAT_MS;
    for (const target of this.#targets) {
      const news = watermark > target.saidWatermark || idle !== target.saidIdle;
      const due = now - target.saidAt >= quietMs || idle !== target.saidIdle;
      if (target.packer.count === 0 && !(news && due)) continue;
      target.saidAt = now;
      this.#send(target, watermark, idle);
    }
  }

  /** An epoch of heartbeats alone, when there is something to tell. */
  onWallClock(nowMs: number): number {
    return nowMs + HEARTBEAT_MS;
  }

  #send(target: Target, watermark: number, idle: boolean): void {
    const { epoch, partition } = this.#context;
    target.saidWatermark = watermark;
    target.saidIdle = idle;
    const bytes = target.packer.take(partition, watermark, idle);
    epoch.append(
      this.#topic,
      target.partition,
      null,
      bytes,
      this.#timestamp || this.#context.now(),
      target.traced === undefined ? undefined : withTrace(target.traced),
    );
    target.traced = undefined;
  }
}
