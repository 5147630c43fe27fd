import type { CommittedPosition, GroupPositions } from '../../runtime/delivery/position.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { KafkaRecord, OutgoingRecord } from '../../runtime/kafka/record.ts';
import type { SimulatedClock } from './delivery-clock.ts';
import type { Random } from './random.ts';

/** One partition of a topic: offsets may have gaps, as transaction markers and compaction leave them. */
export class SimulatedLog {
  readonly records: KafkaRecord[] = [];
  #next = 0n;

  get next(): bigint {
    return this.#next;
  }

  append({ key, value, headers = {}, timestamp = 0 }: Omit<OutgoingRecord, 'topic'>): bigint {
    const offset = this.#next;
    const bytes = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]);
    this.records.push({
      offset,
      timestamp,
      key: key === null ? null : Buffer.from(key),
      value,
      headers: Object.fromEntries(bytes) as Record<string, Buffer>,
    });
    this.#next += 1n;
    return offset;
  }

  /** Offsets that hold no record. */
  skip(count: number): void {
    this.#next += BigInt(count);
  }
}

function error(code: string, retry: 'none' | 'backoff'): ReachflowError {
  return new ReachflowError(code, { code, domain: 'external', retry });
}

interface Committed {
  offset: bigint | undefined;
  metadata: string;
}

/** Topic, retry topic, DLQ and the group's offsets: what a broker has of one partition. */
export class SimulatedBroker {
  readonly main = new SimulatedLog();
  readonly retry = new SimulatedLog();
  readonly dlq = new SimulatedLog();
  generation = 0;
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readonly #lossRatio: number;
  readonly #committed = new Map<SimulatedLog, Committed>();

  constructor(clock: SimulatedClock, random: Random, lossRatio: number) {
    this.#clock = clock;
    this.#random = random;
    this.#lossRatio = lossRatio;
  }

  committedOf(log: SimulatedLog): bigint {
    return this.#committed.get(log)?.offset ?? 0n;
  }

  /** Of a member in a generation. @param isAlive a member that crashed reaches nothing. */
  positions(log: SimulatedLog, generation: number, isAlive: () => boolean): GroupPositions {
    return {
      committed: async (): Promise<CommittedPosition> => {
        await this.#way(isAlive);
        const { offset, metadata } = this.#committed.get(log) ?? {
          offset: undefined,
          metadata: '',
        };
        const { next } = log;
        const ends = { low: 0n, high: next, end: next };
        const answer = { offset, metadata, isOfTopic: true, isOther: false, ...ends };
        await this.#way(isAlive);
        return answer;
      },
      commit: async (offset, metadata = '') => {
        await this.#way(isAlive);
        if (generation !== this.generation) throw error('GROUP_CHANGED', 'none');
        this.#committed.set(log, { offset, metadata });
        await this.#way(isAlive);
      },
    };
  }

  /** Resolves when all are acknowledged; a lost answer leaves them in the log. */
  async publish(records: readonly OutgoingRecord[], isAlive: () => boolean): Promise<void> {
    await this.#way(isAlive);
    for (const record of records) {
      (record.topic.endsWith('.retry') ? this.retry : this.dlq).append(record);
    }
    await this.#way(isAlive);
  }

  async #way(isAlive: () => boolean): Promise<void> {
    await this.#clock.sleep(this.#random.between(0, 10));
    if (!isAlive()) await new Promise<never>(() => undefined);
    if (this.#random.chance(this.#lossRatio)) throw error('KAFKA_UNAVAILABLE', 'backoff');
  }
}
