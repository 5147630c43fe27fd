import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { NO_SOURCE, type SourceRecord, type StreamRecord } from '../topology/record.ts';
import { BackgroundCalls, NO_CALLS } from './background-calls.ts';
import type { ForwardOptions, ProcessContext, Processor, ProcessSpec } from './process-api.ts';
import { requireOutput, settle } from './stateless.ts';
import { TimerService, type TimerStore } from './timers.ts';

type AnySpec = ProcessSpec<never, unknown, Record<string, unknown>>;

/** Runs the author's processor. */
export function processOperator(spec: AnySpec, timers: TimerStore): OperatorFactory {
  return (context) => new ProcessOperator(context, spec, timers);
}

class ProcessOperator implements Operator {
  readonly #context: OperatorContext;
  readonly #timers: TimerService;
  readonly #calls: BackgroundCalls | undefined;
  readonly #processor: Processor<unknown>;
  /** What the processor works on; a timer goes on with the last one. */
  #current: StreamRecord | undefined;
  /** By which its timers were woken last. */
  #woken = Number.NEGATIVE_INFINITY;

  constructor(context: OperatorContext, spec: AnySpec, timers: TimerStore) {
    this.#context = context;
    this.#timers = new TimerService(context, timers);
    this.#calls =
      spec.calls === undefined ? undefined : new BackgroundCalls(spec.calls, context.counters);
    this.#processor = (
      spec as unknown as ProcessSpec<unknown, unknown, Record<string, unknown>>
    ).create(this.#processContext());
  }

  #processContext(): ProcessContext<unknown, Record<string, unknown>> {
    const context = this.#context;
    return {
      partition: context.partition,
      store: (declared) => context.store(declared),
      table: (declared) => context.table(declared),
      timers: this.#timers,
      calls: this.#calls ?? NO_CALLS,
      forward: (key, value, options) => context.forward(this.#record(key, value, options)),
      forwardTo: (output, key, value, options) =>
        requireOutput(context, output)(this.#record(key, value, options)),
      watermark: () => Math.max(this.#woken, context.watermark()),
      now: () => context.now(),
    };
  }

  #record(key: string, value: unknown, options: ForwardOptions | undefined): StreamRecord {
    const current = this.#current;
    const watermark = current?.watermark ?? this.#context.watermark();
    return {
      key,
      value,
      timestamp: options?.timestamp ?? current?.timestamp ?? this.#context.now(),
      watermark,
      source: current?.source ?? NO_SOURCE,
      headers: options?.headers,
    };
  }

  start(): void {
    this.#timers.start();
    this.#processor.onStart?.();
  }

  process(record: StreamRecord): void {
    this.#current = record;
    const outcome = this.#processor.process(record.value, record);
    if (outcome !== undefined) settle(this.#context, record, outcome);
  }

  onWatermark(watermark: number): number {
    this.#woken = watermark;
    return this.#timers.fire('event', watermark, this.#onTimer);
  }

  onWallClock(nowMs: number): number {
    return this.#timers.fire('wall', nowMs, this.#onTimer);
  }

  readonly #onTimer = (key: string, atMs: number, kind: 'event' | 'wall'): void => {
    const source = this.#current?.source ?? NO_SOURCE;
    this.#as({ key, atMs, source }, () => this.#processor.onTimer?.(key, atMs, kind));
  };

  /** What is forwarded meanwhile follows from no record, or from the last one. */
  #as(
    { key, atMs, source }: { key: string; atMs: number; source: SourceRecord },
    work: () => void,
  ): void {
    const before = this.#current;
    const watermark = this.#context.watermark();
    this.#current = { key, value: undefined, watermark, source, timestamp: atMs };
    work();
    this.#current = before;
  }

  /** Takes what calls came to. */
  async drain(): Promise<void> {
    await this.#calls?.take((id, apply) =>
      this.#as({ key: id, atMs: this.#context.now(), source: NO_SOURCE }, apply),
    );
  }

  dispose(): void {
    this.#calls?.dispose();
  }

  onTableChange(
    topic: Parameters<NonNullable<Processor<unknown>['onTableChange']>>[0],
    key: string,
  ): void {
    this.#current = undefined;
    this.#processor.onTableChange?.(topic, key);
  }

  endEpoch(): void {
    this.#processor.endEpoch?.();
  }
}
