import { type Serde, type TtlStore, ttlStore } from '../state/contract.ts';
import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import type { StreamRecord } from '../topology/record.ts';
import { lateLetter } from './late.ts';

/** Records of one side that may still find partners, by `<key>\0<event time>\0<offset>`. */
export function joinBuffer(name: string, serde: Serde<unknown>, keepMs: number) {
  return ttlStore<unknown>(name, { ttlMs: keepMs, serde });
}

type Buffer_ = ReturnType<typeof joinBuffer>;

const DIGITS = 16;

function timeText(atMs: number): string {
  return String(Math.min(Math.max(Math.round(atMs) + 8e15, 0), 9e15)).padStart(DIGITS, '0');
}

/**
 * Inner join of two streams: each pair of one key whose event times are within `withinMs`, once. A record is late when
 * `withinMs + graceMs` behind the watermark of its channel: its partners may be gone.
 */
export function streamJoinOperator(
  buffers: readonly [Buffer_, Buffer_],
  joiner: (left: never, right: never, key: never) => unknown,
  options: { readonly withinMs: number; readonly graceMs: number },
): OperatorFactory {
  return (context) => new StreamJoin(context, buffers, joiner, options);
}

class StreamJoin implements Operator {
  readonly #context: OperatorContext;
  readonly #sides: readonly TtlStore<unknown>[];
  readonly #join: (left: unknown, right: unknown, key: string) => unknown;
  readonly #withinMs: number;
  readonly #graceMs: number;
  readonly #late: ((record: StreamRecord) => void) | undefined;

  constructor(
    context: OperatorContext,
    buffers: readonly [Buffer_, Buffer_],
    joiner: (left: never, right: never, key: never) => unknown,
    { withinMs, graceMs }: { readonly withinMs: number; readonly graceMs: number },
  ) {
    this.#context = context;
    this.#sides = buffers.map((spec) => context.store(spec));
    this.#join = joiner as (left: unknown, right: unknown, key: string) => unknown;
    this.#withinMs = withinMs;
    this.#graceMs = graceMs;
    this.#late = context.output('late');
  }

  process(record: StreamRecord, input: number): void {
    const { key, timestamp, value } = record;
    if (timestamp + this.#withinMs + this.#graceMs <= record.watermark) {
      if (this.#late !== undefined) {
        this.#context.counters.late += 1;
        this.#late(record);
      } else
        this.#context.deadLetter(
          record,
          lateLetter(record, timestamp, this.#withinMs, this.#graceMs),
        );
      return;
    }
    const other = this.#sides[1 - input];
    const from = `${key}\0${timeText(timestamp - this.#withinMs)}`;
    const to = `${key}\0${timeText(timestamp + this.#withinMs)}\u0001`;
    for (const [, match, matchAt] of other?.range(from, to, Number.NEGATIVE_INFINITY) ?? []) {
      const [left, right] = input === 0 ? [value, match] : [match, value];
      this.#context.forward({
        ...record,
        value: this.#join(left, right, key),
        timestamp: Math.max(timestamp, matchAt),
        headers: undefined,
      });
    }
    const { topic, record: raw } = record.source;
    const id = `${key}\0${timeText(timestamp)}\0${topic}/${raw.offset}/${this.#sequence(record)}`;
    this.#sides[input]?.set(id, value, timestamp);
  }

  #lastSource: StreamRecord['source'] | undefined;
  #inSource = 0;

  /** Distinguishes records that one source record became. */
  #sequence({ source }: StreamRecord): number {
    this.#inSource = source === this.#lastSource ? this.#inSource + 1 : 0;
    this.#lastSource = source;
    return this.#inSource;
  }
}
