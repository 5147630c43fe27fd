import { type Serde, type SessionStore, sessionStore } from '../state/contract.ts';
import type { WindowResult } from '../topology/api.ts';
import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { NO_SOURCE, type StreamRecord } from '../topology/record.ts';
import type { SessionWindow } from '../topology/windows.ts';
import type { AnyAggregator } from './aggregator.ts';
import { lateLetter } from './late.ts';
import { TimerService, type TimerStore } from './timers.ts';

export function sessionsStore(name: string, serde: Serde<unknown>) {
  return sessionStore<unknown>(name, serde);
}

/** Keeps open sessions: a record that falls between two makes one of them. Needs an aggregator with `merge`. */
export function sessionAggregateOperator(
  spec: ReturnType<typeof sessionsStore>,
  timers: TimerStore,
  options: {
    readonly aggregator: AnyAggregator;
    readonly window: SessionWindow;
    readonly emit: 'update' | 'close';
  },
): OperatorFactory {
  return (context) => new SessionAggregate(context, spec, timers, options);
}

class SessionAggregate implements Operator {
  readonly #context: OperatorContext;
  readonly #store: SessionStore<unknown>;
  readonly #timers: TimerService;
  readonly #options: Parameters<typeof sessionAggregateOperator>[2];
  readonly #late: ((record: StreamRecord) => void) | undefined;
  /** Sessions that changed in this epoch, by key and start, with the record that changed them last. */
  readonly #changed = new Map<string, { key: string; start: number; last: StreamRecord }>();
  #lastRecord: StreamRecord | undefined;

  constructor(
    context: OperatorContext,
    spec: ReturnType<typeof sessionsStore>,
    timers: TimerStore,
    options: Parameters<typeof sessionAggregateOperator>[2],
  ) {
    this.#context = context;
    this.#options = options;
    this.#store = context.store(spec);
    this.#timers = new TimerService(context, timers);
    this.#late = context.output('late');
  }

  start(): void {
    this.#timers.start();
  }

  process(record: StreamRecord): void {
    const { aggregator, window } = this.#options;
    const { key, timestamp } = record;
    this.#lastRecord = record;
    const met = this.#store.overlapping(key, timestamp - window.gapMs, timestamp + window.gapMs);
    let start = timestamp;
    let end = timestamp;
    for (const session of met) {
      start = Math.min(start, session.start);
      end = Math.max(end, session.end);
    }
    // Late by its channel, or by the task: an idle channel may have let the task go on without it.
    const passed = Math.max(record.watermark, this.#context.watermark());
    if (end + window.gapMs + window.graceMs <= passed) {
      if (this.#late !== undefined) {
        this.#context.counters.late += 1;
        this.#late(record);
      } else
        this.#context.deadLetter(
          record,
          lateLetter(record, timestamp, window.gapMs, window.graceMs),
        );
      return;
    }
    let aggregate: unknown;
    for (const session of met) {
      this.#forget(key, session.start, session.end);
      aggregate =
        aggregate === undefined ? session.value : aggregator.merge?.(aggregate, session.value);
    }
    aggregate = aggregator.add(aggregate ?? aggregator.init(), record.value, key);
    this.#store.set(key, start, end, aggregate);
    this.#timers.schedule('event', `${start}/${end}/${key}`, end + window.gapMs + window.graceMs);
    if (this.#options.emit === 'update') {
      this.#changed.set(`${start}/${key}`, { key, start, last: record });
    }
  }

  #forget(key: string, start: number, end: number): void {
    this.#store.delete(key, start, end);
    this.#timers.cancel('event', `${start}/${end}/${key}`);
    this.#changed.delete(`${start}/${key}`);
  }

  onWatermark(watermark: number): number {
    return this.#timers.fire('event', watermark, (id) => {
      const [startText = '', endText = ''] = id.split('/', 2);
      const key = id.slice(startText.length + endText.length + 2);
      const start = Number(startText);
      const end = Number(endText);
      const session = this.#store
        .overlapping(key, start, end)
        .find((known) => known.start === start && known.end === end);
      if (session === undefined) return;
      const changed = this.#changed.get(`${start}/${key}`);
      if (this.#options.emit === 'close' || changed !== undefined) {
        this.#emit(changed?.last ?? this.#lastRecord, key, session);
      }
      this.#store.delete(key, start, end);
      this.#changed.delete(`${start}/${key}`);
    });
  }

  endEpoch(): void {
    for (const { key, start, last } of this.#changed.values()) {
      const session = this.#store.overlapping(key, start, start).find((s) => s.start === start);
      if (session !== undefined) this.#emit(last, key, session);
    }
    this.#changed.clear();
  }

  #emit(
    from: StreamRecord | undefined,
    key: string,
    { start, end, value }: { start: number; end: number; value: unknown },
  ): void {
    const result: WindowResult<unknown> = { key, start, end, value };
    this.#context.forward({
      key,
      value: result,
      timestamp: end,
      watermark: this.#context.watermark(),
      source: from?.source ?? NO_SOURCE,
    });
  }
}
