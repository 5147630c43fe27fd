import { type Serde, type WindowStore, windowStore } from '../state/contract.ts';
import type { WindowResult } from '../topology/api.ts';
import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { NO_SOURCE, type StreamRecord } from '../topology/record.ts';
import { type WindowSpec, windowRange } from '../topology/windows.ts';
import type { AnyAggregator } from './aggregator.ts';
import type { WindowPartial } from './combine.ts';
import { lateLetter } from './late.ts';

export interface WindowAggregateOptions {
  readonly aggregator: AnyAggregator;
  readonly window: WindowSpec;
  readonly emit: 'update' | 'close';
  /** What comes in: values, or what `combineWindowsOperator` made of them. */
  readonly input: 'values' | 'partials';
}

/** The store of open windows. */
export function windowsStore(name: string, serde: Serde<unknown>) {
  return windowStore<unknown>(name, serde);
}

/** Through the repartition topic: the window's start before the aggregate. */
export function partialSerde(serde: Serde<unknown>): Serde<WindowPartial> {
  return {
    encode({ start, aggregate }) {
      const body = serde.encode(aggregate);
      const bytes = Buffer.allocUnsafe(8 + body.length);
      bytes.writeDoubleLE(start, 0);
      body.copy(bytes, 8);
      return bytes;
    },
    decode: (bytes) => ({
      start: bytes.readDoubleLE(0),
      aggregate: serde.decode(bytes.subarray(8)),
    }),
  };
}

/** Keeps open windows, emits them when they change or when they close, and forgets them once they are closed. */
export function windowAggregateOperator(
  spec: ReturnType<typeof windowsStore>,
  options: WindowAggregateOptions,
): OperatorFactory {
  return (context) => new WindowAggregate(context, spec, options);
}

interface Changed {
  readonly key: string;
  readonly start: number;
  last: StreamRecord;
}

class WindowAggregate implements Operator {
  readonly #context: OperatorContext;
  readonly #options: WindowAggregateOptions;
  readonly #store: WindowStore<unknown>;
  readonly #late: ((record: StreamRecord) => void) | undefined;
  readonly #changed = new Map<string, Changed>();
  #lastRecord: StreamRecord | undefined;

  constructor(
    context: OperatorContext,
    spec: ReturnType<typeof windowsStore>,
    options: WindowAggregateOptions,
  ) {
    this.#context = context;
    this.#options = options;
    this.#store = context.store(spec);
    this.#late = context.output('late');
  }

  start(): void {
    this.#context.wakeAt(this.#nextClose());
  }

  process(record: StreamRecord): void {
    const { window, input, aggregator } = this.#options;
    this.#lastRecord = record;
    if (input === 'partials') {
      const { start, aggregate } = record.value as WindowPartial;
      this.#addPartial(record, start, aggregate);
      return;
    }
    const { first, last, stepMs } = windowRange(window, record.timestamp);
    const passed = this.#passed(record);
    let late = true;
    for (let start = first; start <= last; start += stepMs) {
      if (this.#closesAt(start) <= passed) continue;
      late = false;
      const before = this.#store.get(record.key, start) ?? aggregator.init();
      this.#put(record, start, aggregator.add(before, record.value, record.key));
    }
    if (late) this.#tooLate(record, last);
  }

  #addPartial(record: StreamRecord, start: number, aggregate: unknown): void {
    if (this.#closesAt(start) <= this.#context.watermark()) {
      this.#tooLate(record, start);
      return;
    }
    const before = this.#store.get(record.key, start);
    const { merge } = this.#options.aggregator;
    this.#put(record, start, before === undefined ? aggregate : merge?.(before, aggregate));
  }

  #closesAt(start: number): number {
    const { sizeMs, graceMs } = this.#options.window;
    return start + sizeMs + graceMs;
  }

  #put(record: StreamRecord, start: number, aggregate: unknown): void {
    this.#store.set(record.key, start, aggregate);
    this.#context.wakeAt(this.#closesAt(start));
    if (this.#options.emit !== 'update') return;
    const id = `${start}/${record.key}`;
    const known = this.#changed.get(id);
    if (known === undefined) this.#changed.set(id, { key: record.key, start, last: record });
    else known.last = record;
  }

  /** What a record is late by: its channel's watermark, or the task's when the channel was idle and wakes behind it. */
  #passed(record: StreamRecord): number {
    return Math.max(record.watermark, this.#context.watermark());
  }

  #tooLate(record: StreamRecord, start: number): void {
    const { sizeMs, graceMs } = this.#options.window;
    if (this.#late !== undefined && this.#options.input === 'values') {
      this.#context.counters.late += 1;
      this.#late(record);
    } else
      this.#context.deadLetter(
        record,
        lateLetter(record, start, sizeMs, graceMs, this.#passed(record)),
      );
  }

  endEpoch(): void {
    for (const { key, start, last } of this.#changed.values()) {
      const value = this.#store.get(key, start);
      if (value !== undefined) this.#emit(last, key, start, value);
    }
    this.#changed.clear();
  }

  onWatermark(watermark: number): number {
    const { sizeMs, graceMs } = this.#options.window;
    const closed: { key: string; start: number; value: unknown }[] = [];
    // Strictly less in the store's terms: `start + size + grace <= watermark`.
    for (const entry of this.#store.startingBefore(Math.floor(watermark) - sizeMs - graceMs + 1)) {
      closed.push(entry);
    }
    for (const { key, start, value } of closed) {
      const changed = this.#changed.get(`${start}/${key}`);
      this.#changed.delete(`${start}/${key}`);
      if (this.#options.emit === 'close' || changed !== undefined) {
        this.#emit(changed?.last ?? this.#lastRecord, key, start, value);
      }
      this.#store.delete(key, start);
    }
    return this.#nextClose();
  }

  #nextClose(): number {
    for (const { start } of this.#store.startingBefore(Number.MAX_SAFE_INTEGER)) {
      return this.#closesAt(start);
    }
    return Number.POSITIVE_INFINITY;
  }

  #emit(from: StreamRecord | undefined, key: string, start: number, value: unknown): void {
    const end = start + this.#options.window.sizeMs;
    const result: WindowResult<unknown> = { key, start, end, value };
    this.#context.forward({
      key,
      value: result,
      timestamp: end,
      watermark: this.#context.watermark(),
      source: from?.source ?? NO_SOURCE,
      headers: undefined,
    });
  }
}
