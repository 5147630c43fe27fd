import type {
  Claim,
  DeliveryMode,
  RecordResult,
  Sink,
  SinkBatch,
  SinkRecord,
} from '../../runtime/delivery/sink.ts';
import { DELIVERED, HELD } from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { SimulatedClock } from './delivery-clock.ts';
import type { Random } from './random.ts';

/** What a record does to whoever writes it; in its value as `fate`. */
export type Fate = 'good' | 'undecodable' | 'rejected' | 'heals' | 'never';

/** A row that a store took, in the order in which it took them. */
export interface Applied {
  readonly key: string;
  readonly offset: bigint;
  /** Number of the write. */
  readonly write: number;
  /** Its writer had an heir by then. */
  readonly isLate: boolean;
}

function storeError(code: string, retry: 'none' | 'backoff'): ReachflowError {
  return new ReachflowError(`the store says ${code}`, { code, domain: 'external', retry });
}

/**
 * A store as the sinks of a mode use it: transactional with positions and epochs; planned with tokens of ranges that it
 * drops when they come again; idempotent with versions. It fails as stores do: before a write, after it with the
 * answer lost, and record by record.
 */
export class SimulatedStore {
  readonly applied: Applied[] = [];
  /** Writes in which a record was refused for now, by its offset. */
  readonly refused = new Map<bigint, Set<number>>();
  readonly mode: DeliveryMode;
  /** Between these times it takes nothing. */
  outage = { from: 0, to: 0 };
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readonly #lossRatio: number;
  readonly #tokens = new Set<string>();
  /** How often a record that heals was tried. */
  readonly #tries = new Map<bigint, number>();
  #position: bigint | undefined;
  #epoch = 0n;
  #writes = 0;
  #sinks = 0;

  constructor(mode: DeliveryMode, clock: SimulatedClock, random: Random, lossRatio: number) {
    this.mode = mode;
    this.#clock = clock;
    this.#random = random;
    this.#lossRatio = lossRatio;
  }

  /** A process's sink on this store. */
  createSink(): Sink {
    const { mode } = this;
    this.#sinks += 1;
    const writer = this.#sinks;
    return {
      name: 'simulated',
      mode,
      topics: ['contact.golden'],
      limits: { records: 7, bytes: 5_000, lingerMs: this.#random.pick([0, 5, 50]) },
      writers: 2,
      open: async () => undefined,
      claim: () => this.#claim(),
      write: (batch) => this.#write(batch, writer),
      close: async () => undefined,
    };
  }

  async #latency(): Promise<void> {
    await this.#clock.sleep(this.#random.between(0, 30));
  }

  get #isAway(): boolean {
    const now = this.#clock.now();
    return now >= this.outage.from && now < this.outage.to;
  }

  async #claim(): Promise<Claim> {
    await this.#latency();
    if (this.#isAway) throw storeError('STORE_AWAY', 'backoff');
    this.#epoch += 1n;
    const claim = { epoch: this.#epoch, position: this.#position };
    await this.#latency();
    return claim;
  }

  async #write(batch: SinkBatch, writer: number): Promise<readonly RecordResult[]> {
    await this.#latency();
    if (this.#isAway) return this.#sick(batch);
    this.#writes += 1;
    const isLate = writer < this.#sinks;
    const results =
      this.mode === 'transactional' ? this.#transaction(batch) : this.#insert(batch, isLate);
    await this.#latency();
    return this.#random.chance(this.#lossRatio) ? this.#sick(batch) : results;
  }

  #sick({ records }: SinkBatch): readonly RecordResult[] {
    const error = storeError('STORE_AWAY', 'backoff');
    if (records.length === 0) throw error;
    return records.map(() => ({ status: 'retry', of: 'store', error }));
  }

  #verdict({ value, offset }: SinkRecord): RecordResult {
    const fate = value?.['fate'] as Fate;
    if (fate === 'rejected') return { status: 'rejected', error: storeError('BAD', 'none') };
    const sick = {
      status: 'retry',
      of: 'record',
      error: storeError('NOT_YET', 'backoff'),
    } as const;
    if (fate === 'never') return sick;
    if (fate !== 'heals') return DELIVERED;
    const refused = this.refused.get(offset) ?? new Set();
    this.refused.set(offset, refused.add(this.#writes));
    const tries = (this.#tries.get(offset) ?? 0) + 1;
    this.#tries.set(offset, tries);
    return tries <= 2 ? sick : DELIVERED;
  }

  #apply(records: readonly SinkRecord[], isLate = false): void {
    for (const { key, offset } of records) {
      this.applied.push({ key, offset, write: this.#writes, isLate });
    }
  }

  #transaction({ range, records }: SinkBatch): readonly RecordResult[] {
    if (range !== undefined) {
      const isExpected = this.#position === undefined || this.#position === range.start;
      if (range.epoch !== this.#epoch || !isExpected) throw storeError('SINK_FENCED', 'none');
    }
    const verdicts = records.map((record) => this.#verdict(record));
    if (verdicts.some(({ status }) => status !== 'delivered')) {
      return verdicts.map((verdict) => (verdict.status === 'delivered' ? HELD : verdict));
    }
    this.#apply(records);
    if (range !== undefined) this.#position = range.end;
    return verdicts;
  }

  #insert({ range, plan, records }: SinkBatch, isLate: boolean): readonly RecordResult[] {
    const verdicts = records.map((record) => this.#verdict(record));
    const good = records.filter((_, i) => verdicts[i]?.status === 'delivered');
    if (this.mode === 'planned' && verdicts.some(({ status }) => status === 'retry')) {
      return verdicts.map((verdict) => (verdict.status === 'delivered' ? HELD : verdict));
    }
    if (this.mode === 'planned') {
      const token = range === undefined ? `${plan}` : `${range.start}-${range.end}-${range.origin}`;
      if (this.#tokens.has(token)) return verdicts;
      this.#tokens.add(token);
    }
    this.#apply(good, isLate);
    return verdicts;
  }
}
