import { isTopicName } from '../../schemas/topics.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { TaskMetrics } from '../observability/task-metrics.ts';
import type { BatchWork, Tracing } from '../observability/tracing.ts';

/** Metrics and the trace of a task's epochs. */
export class EpochObserver {
  readonly #name: string;
  readonly #partition: number;
  readonly #metrics: TaskMetrics | undefined;
  readonly #tracing: Tracing | undefined;
  /** Kafka timestamp of the epoch's first record, ms. */
  #oldestMs: number | undefined;
  #trace: BatchWork | undefined;

  /** @param name of the sub-topology's group. */
  constructor(
    name: string,
    partition: number,
    metrics: TaskMetrics | undefined,
    tracing: Tracing | undefined,
  ) {
    this.#name = name;
    this.#partition = partition;
    this.#metrics = metrics;
    this.#tracing = tracing;
  }

  /** The epoch's first record. */
  begin(topic: string, { timestamp }: KafkaRecord): void {
    // What latency is measured from is when a record came in: that of a packed one is of its sources.
    this.#oldestMs = isTopicName(topic) ? timestamp : undefined;
    this.#trace ??= this.#tracing?.batch(`epoch ${this.#name}`, {
      'reachflow.partition': this.#partition,
    });
  }

  /** A traced record goes on in this epoch's part of its trace; its outputs take their headers from it. */
  traced(record: KafkaRecord): KafkaRecord {
    const carried = this.#trace?.carry(record.headers);
    if (carried === undefined) return record;
    const headers = { ...record.headers };
    for (const [name, text] of Object.entries(carried)) headers[name] = Buffer.from(text);
    return { ...record, headers };
  }

  committed(commitMs: number, epochMs: number, records: number): void {
    this.#metrics?.epoch({ epochMs, commitMs, oldestMs: this.#oldestMs });
    this.#trace?.end({ 'reachflow.records': records });
    this.#oldestMs = undefined;
    this.#trace = undefined;
  }

  failed(error: unknown): void {
    this.#trace?.fail(error);
    this.#trace = undefined;
  }
}
