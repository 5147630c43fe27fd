/**
 * The records that all contestants work on. Everything about an event follows from the seed and its number, so a
 * duplicate needs no memory of the event it repeats.
 */

export const TENANTS = 100;
export const KEYS = 10_000;
/** What T0 drops; one of ten types, so every tenth event. */
export const DROPPED_TYPE = 'session.ping';
export const EVENT_TYPES: readonly string[] = [
  DROPPED_TYPE,
  'order.created',
  'order.paid',
  'order.shipped',
  'order.returned',
  'user.created',
  'user.updated',
  'user.login',
  'invoice.sent',
  'invoice.paid',
];

const DISORDER_MS = 5_000;
const LATE_BY_MS = 120_000;
const LATE_ONE_IN = 100;
const DUPLICATE_ONE_IN = 10;

export interface WorkloadOptions {
  readonly seed: number;
  /** Event time of the first event, ms since the epoch, at the start of a minute. */
  readonly baseMs: number;
  /** Event time between two events, ms. */
  readonly stepMs: number;
  /** Ids in the order of events, or, as UUIDs are, in none; default `ordered`. */
  readonly ids?: 'ordered' | 'scattered';
}

/** One record. The same object each time: copy what is to be kept. */
export interface WorkloadRecord {
  /** Number of the event: a duplicate has that of an earlier record. */
  event: number;
  isDuplicate: boolean;
  /** Which of the `KEYS` keys. */
  key: number;
  /** Which of the `EVENT_TYPES`. */
  type: number;
  occurredAt: number;
  /** When it came in, ms since the epoch; never before an earlier record's. */
  arrivedAt: number;
}

/** Four unrelated streams of random numbers per event. */
const SALT = { key: 0x51ed27, type: 0x2c9277, disorder: 0x6b43a9, late: 0x1f83d9 } as const;

/** Mixes 32 bits well (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Endless records: 10 % repeat an event from anywhere before, 1 % are 2 minutes late, the others are up to 5 s out of
 * order. Goes on where the last `take` ended.
 */
export class Workload {
  readonly #options: WorkloadOptions;
  #records = 0;
  #events = 0;
  readonly #current: WorkloadRecord = {
    ...{ event: 0, isDuplicate: false, key: 0, type: 0, occurredAt: 0, arrivedAt: 0 },
  };

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  /** Different events so far. */
  get events(): number {
    return this.#events;
  }

  /** An event's id. */
  idOf(event: number): string {
    return this.#options.ids === 'scattered' ? scatteredIdOf(event) : eventIdOf(event);
  }

  /** The next record; valid until the next call. */
  next(): WorkloadRecord {
    const { seed, baseMs, stepMs } = this.#options;
    const chance = mix(seed ^ Math.imul(this.#records, 0x9e3779b1));
    this.#records += 1;
    const isDuplicate = chance % DUPLICATE_ONE_IN === 0 && this.#events > 0;
    const event = isDuplicate ? mix(chance) % this.#events : this.#events;
    if (!isDuplicate) this.#events += 1;
    const record = this.#current;
    record.event = event;
    record.isDuplicate = isDuplicate;
    record.key = this.#draw(event, SALT.key) % KEYS;
    record.type = this.#draw(event, SALT.type) % EVENT_TYPES.length;
    const isLate = this.#draw(event, SALT.late) % LATE_ONE_IN === 0;
    const behind = (this.#draw(event, SALT.disorder) % DISORDER_MS) + (isLate ? LATE_BY_MS : 0);
    record.occurredAt = baseMs + Math.floor(event * stepMs) - behind;
    record.arrivedAt = baseMs + Math.floor(this.#events * stepMs);
    return record;
  }

  #draw(event: number, salt: number): number {
    return mix(mix(this.#options.seed + salt) ^ Math.imul(event + 1, 0x9e3779b1));
  }
}

const ORDERED = 'bench:';
const SCATTERED = 'bench#';

export function eventIdOf(event: number): string {
  return `${ORDERED}${String(event).padStart(8, '0')}`;
}

/** Ids of neighbours have nothing in common. */
function scatteredIdOf(event: number): string {
  return `${SCATTERED}${hex(mix(event))}-${hex(mix(~event))}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** The number in an event id. */
export function eventOf(eventId: string): number {
  if (eventId.startsWith(ORDERED)) return Number(eventId.slice(ORDERED.length));
  return unmix(Number.parseInt(eventId.slice(SCATTERED.length, SCATTERED.length + 8), 16));
}

/** What `mix` was given, as 32 bits. */
function unmix(hash: number): number {
  let value = hash ^ (hash >>> 16);
  value = Math.imul(value, 0x7ed1b41d);
  value ^= (value >>> 13) ^ (value >>> 26);
  value = Math.imul(value, 0xa5cb9243);
  return (value ^ (value >>> 16)) >>> 0;
}

export function tenantOf(key: number): string {
  return `tenant-${key % TENANTS}`;
}

export function entityOf(key: number): string {
  return `entity-${key}`;
}
