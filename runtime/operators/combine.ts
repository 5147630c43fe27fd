import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { isTraced, type SourceRecord, type StreamRecord } from '../topology/record.ts';
import { type WindowSpec, windowRange } from '../topology/windows.ts';
import type { AnyAggregator } from './aggregator.ts';
import { lateLetter } from './late.ts';

type KeyOf = (value: unknown, record: StreamRecord) => string;

/** One key's share of one epoch. */
interface Partial {
  aggregate: unknown;
  last: StreamRecord;
  /** Where the trace goes on: of its first traced record, or else of its last. */
  source: SourceRecord;
}

function advance(partial: Partial, record: StreamRecord): void {
  partial.last = record;
  if (!isTraced(partial.source)) partial.source = record.source;
}

/** A partial aggregate of one window on its way through the repartition topic. */
export interface WindowPartial {
  readonly start: number;
  readonly aggregate: unknown;
}

/** Adds up per key within an epoch, so that one record per key and epoch is repartitioned, not one per record. */
export function combineOperator(key: KeyOf, aggregator: AnyAggregator): OperatorFactory {
  return ({ forward }): Operator => {
    const partials = new Map<string, Partial>();
    return {
      process(record) {
        const group = key(record.value, record);
        const partial = partials.get(group);
        if (partial === undefined) {
          const aggregate = aggregator.add(aggregator.init(), record.value, group);
          partials.set(group, { aggregate, last: record, source: record.source });
        } else {
          partial.aggregate = aggregator.add(partial.aggregate, record.value, group);
          advance(partial, record);
        }
      },
      endEpoch() {
        for (const [group, { aggregate, last, source }] of partials) {
          forward({ ...last, key: group, value: aggregate, source, headers: undefined });
        }
        partials.clear();
      },
    };
  };
}

/**
 * As `combineOperator`, by window. Here, in the partition where the record came in, it is decided whether it is late:
 * its window's end + grace against the watermark of its own channel. That is the same in every run, whatever other
 * partitions do.
 */
export function combineWindowsOperator(
  key: KeyOf,
  aggregator: AnyAggregator,
  window: WindowSpec,
): OperatorFactory {
  return (context) => new CombineWindows(context, key, aggregator, window);
}

class CombineWindows implements Operator {
  readonly #context: OperatorContext;
  readonly #keyOf: KeyOf;
  readonly #aggregator: AnyAggregator;
  readonly #window: WindowSpec;
  readonly #late: ((record: StreamRecord) => void) | undefined;
  readonly #windows = new Map<number, Map<string, Partial>>();

  constructor(
    context: OperatorContext,
    keyOf: KeyOf,
    aggregator: AnyAggregator,
    window: WindowSpec,
  ) {
    this.#context = context;
    this.#keyOf = keyOf;
    this.#aggregator = aggregator;
    this.#window = window;
    this.#late = context.output('late');
  }

  process(record: StreamRecord): void {
    const { sizeMs, graceMs } = this.#window;
    const { first, last, stepMs } = windowRange(this.#window, record.timestamp);
    let late = true;
    for (let start = first; start <= last; start += stepMs) {
      if (start + sizeMs + graceMs <= record.watermark) continue;
      late = false;
      this.#add(start, record);
    }
    if (!late) return;
    if (this.#late !== undefined) {
      this.#context.counters.late += 1;
      this.#late(record);
    } else this.#context.deadLetter(record, lateLetter(record, last, sizeMs, graceMs));
  }

  #add(start: number, record: StreamRecord): void {
    let window = this.#windows.get(start);
    if (window === undefined) {
      window = new Map();
      this.#windows.set(start, window);
    }
    const group = this.#keyOf(record.value, record);
    const partial = window.get(group);
    if (partial === undefined) {
      const aggregate = this.#aggregator.add(this.#aggregator.init(), record.value, group);
      window.set(group, { aggregate, last: record, source: record.source });
    } else {
      partial.aggregate = this.#aggregator.add(partial.aggregate, record.value, group);
      advance(partial, record);
    }
  }

  endEpoch(): void {
    for (const [start, window] of this.#windows) {
      for (const [group, { aggregate, last, source }] of window) {
        const value: WindowPartial = { start, aggregate };
        const of = { key: group, value, timestamp: start, source, headers: undefined };
        this.#context.forward({ ...last, ...of });
      }
    }
    this.#windows.clear();
  }
}
