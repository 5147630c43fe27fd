import { setTimeout as delay } from 'node:timers/promises';
import { DLQ_AUDIT_TOPIC } from '../../schemas/topics.ts';
import { backoffMs } from '../backoff.ts';
import { ReachflowError } from '../errors.ts';
import { ensureTopics, topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { EpochProducer } from '../kafka/epoch-producer.ts';
import { readLetters } from './dlq-reader.ts';
import type { ReadLetter } from './letter.ts';
import { wholeValue } from './letter-original.ts';
import { retryTopicOf } from './letter-topics.ts';
import {
  isOpen,
  type PlannedStretch,
  type RedrivePlan,
  type SelectLetters,
} from './redrive-plan.ts';
import { RedriveTransaction, TRANSACTION_LETTERS } from './redrive-transaction.ts';
import {
  type AuditEntry,
  encodeEntry,
  ensureAuditTopic,
  Resolutions,
  type RunStarted,
} from './resolutions.ts';

/** One redrive at a time in a namespace: a second one fences the first, and goes on where that one came to. */
const TRANSACTIONAL_ID = 'dlq.redrive';
const MAX_ATTEMPTS = 6;
const RETRY = { initialMs: 200, maxMs: 5_000 };

/** What becomes of a letter: other value bytes, null for a tombstone, or undefined to leave it where it is. */
export type PatchLetters = (
  letters: readonly ReadLetter[],
) => Promise<readonly (Buffer | null | undefined)[]>;

export interface RunOptions {
  readonly plan: RedrivePlan;
  readonly select: SelectLetters;
  /** Letters that came back so often are left out. */
  readonly maxReplays: number;
  readonly audit: Omit<RunStarted, 'kind' | 'at' | 'letters'>;
  readonly patch?: PatchLetters;
  /** Of a transaction, at most; 10,000 unless given. */
  readonly transactionLetters?: number;
  /** After each transaction: letters dealt with so far. */
  readonly onProgress?: (letters: number) => void;
}

export interface RunResult {
  /** Dealt with by this run. */
  readonly letters: number;
  /** Left in place by the patch. */
  readonly left: number;
}

/**
 * Carries a plan out: sends letters back, in the order of the records that failed, or drops them. What is sent and
 * which letters it was commit in one Kafka transaction, so that nothing is sent twice: a run that was interrupted is
 * simply started again. Each record goes to the retry topic of the consumer that gave up on it, to no other consumer.
 * @throws ReachflowError `FENCED` when another redrive was started meanwhile, `KAFKA_UNAVAILABLE`, `COMMIT_FAILED`,
 *   and what `select` and `patch` throw.
 */
export async function runRedrive(client: KafkaClient, options: RunOptions): Promise<RunResult> {
  await ensureAuditTopic(client);
  if (options.audit.resolution === 'redriven') await ensureTargets(client, options.plan);
  const totals = { letters: 0, left: 0 };
  let isFirst = true;
  for (let attempt = 1; ; attempt += 1) {
    const before = totals.letters;
    const producer = await EpochProducer.open(client, TRANSACTIONAL_ID);
    try {
      const run = new Run(client, producer, options, totals);
      await run.go(isFirst);
      return totals;
    } catch (error) {
      const again = error instanceof ReachflowError && error.retry === 'backoff';
      if (totals.letters > before) attempt = 1;
      if (!again || attempt >= MAX_ATTEMPTS) throw error;
      isFirst = false;
      await delay(backoffMs(attempt, RETRY));
    } finally {
      await producer.close();
    }
  }
}

/** Retry topics are there once their consumer ran with this version; a letter may be older. */
async function ensureTargets(client: KafkaClient, { stretches }: RedrivePlan): Promise<void> {
  const widths = await topicPartitions(client);
  const dlqs = new Set(stretches.map(({ dlq }) => dlq));
  const plans = [...dlqs].map((dlq) => retryTopicOf(dlq, widths.get(dlq) ?? 1));
  await ensureTopics(client, plans);
}

/** One attempt, with one producer: a transaction is filled while the one before it commits. */
class Run {
  readonly #client: KafkaClient;
  readonly #producer: EpochProducer;
  readonly #options: RunOptions;
  readonly #totals: { letters: number; left: number };
  #transaction: RedriveTransaction;
  #committing: Promise<void> = Promise.resolve();

  constructor(
    client: KafkaClient,
    producer: EpochProducer,
    options: RunOptions,
    totals: { letters: number; left: number },
  ) {
    this.#client = client;
    this.#producer = producer;
    this.#options = options;
    this.#totals = totals;
    this.#transaction = this.#begin();
  }

  async go(isFirst: boolean): Promise<void> {
    const { audit, plan } = this.#options;
    this.#totals.left = 0;
    // After the producer was opened: what others committed until then is seen, and they commit nothing more.
    const resolutions = await Resolutions.read(this.#client);
    if (isFirst) {
      await this.#note({ kind: 'run', ...audit, at: Date.now(), letters: plan.letters });
    }
    for (const stretch of plan.stretches) await this.#stretch(stretch, resolutions);
    await this.#commit();
    await this.#committing;
    const { letters } = this.#totals;
    await this.#note({ kind: 'end', run: audit.run, at: Date.now(), letters });
  }

  async #stretch(stretch: PlannedStretch, resolutions: Resolutions): Promise<void> {
    const sends = this.#options.audit.resolution === 'redriven';
    const early = new Set(stretch.early.map(({ dlqOffset }) => dlqOffset));
    const waiting = stretch.early.filter(({ dlq, dlqPartition, dlqOffset, lastFailure }) => {
      return !resolutions.of(dlq, dlqPartition, dlqOffset, lastFailure);
    });
    let next = 0;
    await readLetters(this.#client, stretch, resolutions, async (letters) => {
      const chosen = await this.#options.select(letters.filter(isOpen));
      const ordered: ReadLetter[] = [];
      for (const letter of chosen) {
        if (early.has(letter.dlqOffset) || (sends && !this.#isSendable(letter))) continue;
        for (; sends; next += 1) {
          const older = waiting[next];
          if (older === undefined || older.originOffset > letter.originOffset) break;
          ordered.push(older);
        }
        ordered.push(letter);
      }
      await this.#add(ordered);
    });
    await this.#add(waiting.slice(next));
  }

  #isSendable({ originOffset, replayCount }: ReadLetter): boolean {
    return originOffset >= 0 && replayCount < this.#options.maxReplays;
  }

  async #add(letters: readonly ReadLetter[]): Promise<void> {
    if (letters.length === 0) return;
    const { patch } = this.#options;
    const values = patch === undefined ? undefined : await patch(letters);
    for (const [i, letter] of letters.entries()) {
      const value = values === undefined ? await this.#valueOf(letter) : values[i];
      if (value === undefined) this.#totals.left += 1;
      else this.#transaction.add(letter, value);
      if (this.#transaction.isFull) await this.#commit();
    }
  }

  /** A dropped letter needs none. */
  async #valueOf(letter: ReadLetter): Promise<Buffer | null> {
    const isSent = this.#options.audit.resolution === 'redriven';
    return isSent ? wholeValue(this.#client, letter) : letter.record.value;
  }

  /** Resolves when the next transaction may be filled, while this one commits. */
  async #commit(): Promise<void> {
    const transaction = this.#transaction;
    if (transaction.count === 0) return;
    const { count } = transaction;
    this.#transaction = this.#begin();
    await this.#committing;
    this.#committing = this.#producer.commit(transaction.close(), []).then(() => {
      this.#totals.letters += count;
      this.#options.onProgress?.(this.#totals.letters);
    });
    // Its failure is seen when it is awaited: by the next one, or at the end.
    this.#committing.catch(() => undefined);
  }

  #begin(): RedriveTransaction {
    const { audit, transactionLetters = TRANSACTION_LETTERS } = this.#options;
    return new RedriveTransaction(this.#producer, audit, transactionLetters);
  }

  async #note(entry: AuditEntry): Promise<void> {
    const batch = this.#producer.begin();
    batch.append(DLQ_AUDIT_TOPIC, 0, entry.run, encodeEntry(entry), Date.now());
    await this.#producer.commit(batch, []);
  }
}
