import { matchStateSerde } from '../cep/match-serde.ts';
import { eventsByStep, type MatchState, NOTHING_MATCHED } from '../cep/match-state.ts';
import type { Found, Matcher, Step } from '../cep/matcher.ts';
import { ReachflowError } from '../errors.ts';
import { type KeyValueStore, keyValueStore, type Serde } from '../state/contract.ts';
import type { Forward, Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import { NO_SOURCE, type StreamRecord } from '../topology/record.ts';
import type { PatternMatch } from './match-api.ts';
import { TimerService, type TimerStore, timerStore } from './timers.ts';

/** An event that waits until no earlier one can come. */
interface Waiting {
  readonly timestamp: number;
  readonly value: unknown;
}

/** What is known of a key without its events. */
interface KeyHead {
  readonly waiting: number;
  /** When its timer is due, ms. */
  readonly wakeAt: number;
}

const HEAD_BYTES = 16;

const headSerde: Serde<KeyHead> = {
  encode({ waiting, wakeAt }) {
    const bytes = Buffer.allocUnsafe(HEAD_BYTES);
    bytes.writeDoubleLE(waiting, 0);
    bytes.writeDoubleLE(wakeAt, 8);
    return bytes;
  },
  decode: (bytes) => ({ waiting: bytes.readDoubleLE(0), wakeAt: bytes.readDoubleLE(8) }),
};

function waitingSerde(values: Serde<unknown>): Serde<Waiting> {
  return {
    encode({ timestamp, value }) {
      const body = values.encode(value);
      const bytes = Buffer.allocUnsafe(8 + body.length);
      bytes.writeDoubleLE(timestamp, 0);
      body.copy(bytes, 8);
      return bytes;
    },
    decode: (bytes) => ({
      timestamp: bytes.readDoubleLE(0),
      value: values.decode(bytes.subarray(8)),
    }),
  };
}

/** The stores of a step that looks for a pattern: events that wait, keys, what they matched so far, timers. */
export function matchStores(name: string, matcher: Matcher, values: Serde<unknown>) {
  return {
    waiting: keyValueStore(`${name}.waiting`, waitingSerde(values)),
    keys: keyValueStore(`${name}.keys`, headSerde),
    matched: keyValueStore(name, matchStateSerde(matcher.states, values)),
    timers: timerStore(name) as TimerStore,
  };
}

/**
 * Looks for a pattern in the events of each key, in order of event time: an event waits until the watermark has passed
 * it. What comes after that is late.
 */
export function matchOperator(
  matcher: Matcher,
  stores: ReturnType<typeof matchStores>,
  maxWaiting: number,
): OperatorFactory {
  return (context) => new MatchOperator(context, matcher, stores, maxWaiting);
}

class MatchOperator implements Operator {
  readonly #context: OperatorContext;
  readonly #matcher: Matcher;
  readonly #maxWaiting: number;
  readonly #waiting: KeyValueStore<Waiting>;
  readonly #keys: KeyValueStore<KeyHead>;
  readonly #matched: KeyValueStore<MatchState>;
  readonly #timers: TimerService;
  readonly #late: Forward | undefined;
  readonly #timedOut: Forward | undefined;
  readonly #abandoned: Forward;

  constructor(
    context: OperatorContext,
    matcher: Matcher,
    stores: ReturnType<typeof matchStores>,
    maxWaiting: number,
  ) {
    this.#context = context;
    this.#matcher = matcher;
    this.#maxWaiting = maxWaiting;
    this.#waiting = context.store(stores.waiting);
    this.#keys = context.store(stores.keys);
    this.#matched = context.store(stores.matched);
    this.#timers = new TimerService(context, stores.timers);
    this.#late = context.output('late');
    this.#timedOut = context.output('timed-out');
    this.#abandoned =
      context.output('abandoned') ?? ((record) => context.drop(record, 'too many partial matches'));
  }

  start(): void {
    this.#timers.start();
  }

  process(record: StreamRecord): void {
    const { key, timestamp, value } = record;
    // Late by its channel, or by the task: an idle channel may have let the task go on without it.
    const passed = Math.max(record.watermark, this.#context.watermark());
    if (timestamp < passed) {
      this.#tooLate(record, passed);
      return;
    }
    const head = this.#keys.get(key) ?? { waiting: 0, wakeAt: Number.POSITIVE_INFINITY };
    if (head.waiting >= this.#maxWaiting) {
      this.#context.deadLetter(record, bufferFull(this.#context.name, key, head.waiting));
      return;
    }
    this.#waiting.set(`${prefixOf(key)}${timeText(timestamp)}/${this.#arrival(record)}`, {
      timestamp,
      value,
    });
    const wakeAt = Math.min(head.wakeAt, timestamp + 1);
    if (wakeAt < head.wakeAt) this.#timers.schedule('event', key, wakeAt);
    this.#keys.set(key, { waiting: head.waiting + 1, wakeAt });
  }

  onWatermark(watermark: number): number {
    return this.#timers.fire('event', watermark, (key) => this.#wake(key, watermark));
  }

  #wake(key: string, watermark: number): void {
    const before = this.#matched.get(key) ?? NOTHING_MATCHED;
    let state = before;
    let taken = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const [id, { timestamp, value }] of this.#waiting.prefix(prefixOf(key))) {
      if (timestamp >= watermark) {
        next = timestamp + 1;
        break;
      }
      this.#waiting.delete(id);
      taken += 1;
      state = this.#emit(key, this.#matcher.advance(state, timestamp));
      state = this.#emit(key, this.#matcher.accept(state, value, timestamp));
    }
    state = this.#emit(key, this.#matcher.advance(state, watermark));
    if (state.partial.length + state.complete.length === 0) this.#matched.delete(key);
    else if (state !== before) this.#matched.set(key, state);
    this.#rest(key, taken, Math.min(next, this.#matcher.deadline(state)));
  }

  #rest(key: string, taken: number, wakeAt: number): void {
    const waiting = (this.#keys.get(key)?.waiting ?? 0) - taken;
    if (wakeAt === Number.POSITIVE_INFINITY) {
      this.#keys.delete(key);
      return;
    }
    this.#timers.schedule('event', key, wakeAt);
    this.#keys.set(key, { waiting, wakeAt });
  }

  #emit(key: string, { state, matches, timedOut, abandoned }: Step): MatchState {
    for (const found of matches) this.#context.forward(this.#record(key, found));
    if (this.#timedOut !== undefined)
      for (const found of timedOut) this.#timedOut(this.#record(key, found));
    for (const found of abandoned) this.#abandoned(this.#record(key, found));
    return state;
  }

  #record(key: string, { last, at }: Found): StreamRecord<PatternMatch<unknown, string>> {
    const { names, takes } = this.#matcher;
    const events: Record<string, readonly unknown[]> = {};
    let start = at;
    for (const [step, taken] of eventsByStep(last, names.length).entries()) {
      const name = names[step];
      if (name === undefined || takes[step] !== true) continue;
      events[name] = taken.map(({ value }) => value);
      start = Math.min(start, taken[0]?.timestamp ?? at);
    }
    return {
      key,
      value: { key, events, start, end: at },
      timestamp: at,
      watermark: this.#context.watermark(),
      source: NO_SOURCE,
    };
  }

  #tooLate(record: StreamRecord, passed: number): void {
    if (this.#late === undefined) this.#context.deadLetter(record, lateEvent(record, passed));
    else {
      this.#context.counters.late += 1;
      this.#late(record);
    }
  }

  #lastSource: StreamRecord['source'] | undefined;
  #inSource = 0;

  /** Orders events of the same time: by offset, then as one source record became several. */
  #arrival({ source }: StreamRecord): string {
    this.#inSource = source === this.#lastSource ? this.#inSource + 1 : 0;
    this.#lastSource = source;
    const offset = String(source.record.offset).padStart(OFFSET_DIGITS, '0');
    return `${offset}/${source.topic}/${String(this.#inSource).padStart(IN_SOURCE_DIGITS, '0')}`;
  }
}

const OFFSET_DIGITS = 19;
const IN_SOURCE_DIGITS = 9;
const TIME_DIGITS = 16;

/** The length keeps keys apart that are the beginning of another. */
function prefixOf(key: string): string {
  return `${key.length}/${key}/`;
}

/** Such that text order is time order, also before 1970. */
function timeText(atMs: number): string {
  const shifted = Math.min(Math.max(Math.floor(atMs) + 8e15, 0), 9e15);
  return String(shifted).padStart(TIME_DIGITS, '0');
}

function lateEvent({ timestamp }: StreamRecord, passed: number): ReachflowError {
  const message = `late: it is of ${timestamp} ms, but event time is at ${passed} ms, and the pattern takes events in order`;
  return new ReachflowError(message, {
    code: 'LATE',
    domain: 'user',
    hint: 'Give the stream a larger disorderMs, or take late records by `late()`.',
  });
}

function bufferFull(step: string, key: string, waiting: number): ReachflowError {
  const message = `${step}: ${waiting} events of ${key.slice(0, 40)} wait for event time to pass them`;
  return new ReachflowError(message, {
    code: 'PATTERN_BUFFER_FULL',
    domain: 'user',
    hint: 'Does a partition hold the watermark back? Else raise maxWaiting, or count before the pattern.',
  });
}
