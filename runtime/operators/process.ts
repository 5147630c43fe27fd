import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { NO_SOURCE, type StreamRecord } from '../topology/record.ts';
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
  readonly #processor: Processor<unknown>;
  /** What the processor works on; a timer goes on with the last one. */
  #current: StreamRecord | undefined;
  /** By which its timers were woken last. */
  #woken = Number.NEGATIVE_INFINITY;

  constructor(context: OperatorContext, spec: AnySpec, timers: TimerStore) {
    this.#context = context;
    this.#timers = new TimerService(context, timers);
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
    const before = this.#current;
    this.#current = {
      key,
      value: undefined,
      watermark: this.#context.watermark(),
      source: before?.source ?? NO_SOURCE,
      timestamp: atMs,
    };
    this.#processor.onTimer?.(key, atMs, kind);
    this.#current = before;
  };

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
