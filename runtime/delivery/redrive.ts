import { setTimeout as delay } from 'node:timers/promises';
import { DLQ_AUDIT_TOPIC, DLQ_RETENTION_MS } from '../../schemas/topics.ts';
import { backoffMs } from '../backoff.ts';
import { ReachflowError } from '../errors.ts';
import { ensureTopics, topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { EpochProducer } from '../kafka/epoch-producer.ts';
import { type DeadLetter, readLetters } from './dlq-reader.ts';
import {
  isOpen,
  originOffset,
  type PlannedStretch,
  type RedrivePlan,
  type SelectLetters,
} from './redrive-plan.ts';
import { redrivenRecord } from './redrive-record.ts';
import {
  type AuditEntry,
  encodeEntry,
  ensureAuditTopic,
  Resolutions,
  type RunStarted,
  toRanges,
} from './resolutions.ts';

/** One redrive at a time in a namespace: a second one fences the first, and goes on where that one came to. */
const TRANSACTIONAL_ID = 'dlq.redrive';
/** Letters of a transaction: large enough that commits cost little, small enough for memory and for `max.message.bytes` of the audit. */
const BATCH_LETTERS = 2_000;
const BATCH_BYTES = 4_194_304;
const MAX_ATTEMPTS = 6;
const RETRY = { initialMs: 200, maxMs: 5_000 };
/** A record with headers of the failure and of the redrive. */
const RETRY_RECORD_BYTES = 8 * 1_048_576;

/** What becomes of a letter: other value bytes, null for a tombstone, or undefined to leave it where it is. */
export type PatchLetters = (
  letters: readonly DeadLetter[],
) => Promise<readonly (Buffer | null | undefined)[]>;

export interface RunOptions {
  readonly plan: RedrivePlan;
  readonly select: SelectLetters;
  /** Letters that came back so often are left out. */
  readonly maxReplays: number;
  readonly audit: Omit<RunStarted, 'kind' | 'at' | 'letters'>;
  readonly patch?: PatchLetters;
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
  const targets = new Map(
    stretches.map(({ dlq }) => [dlq.replace(/\.dlq$/, '.retry'), widths.get(dlq) ?? 1]),
  );
  await ensureTopics(
    client,
    [...targets].map(([name, partitions]) => ({
      name,
      partitions,
      cleanup: 'delete',
      retentionMs: DLQ_RETENTION_MS,
      maxMessageBytes: RETRY_RECORD_BYTES,
    })),
  );
}

/** One attempt, with one producer. */
class Run {
  readonly #client: KafkaClient;
  readonly #producer: EpochProducer;
  readonly #options: RunOptions;
  readonly #totals: { letters: number; left: number };
  #pending: DeadLetter[] = [];
  #pendingBytes = 0;
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
    const { letters } = this.#totals;
    await this.#note({ kind: 'end', run: audit.run, at: Date.now(), letters });
  }

  async #stretch(stretch: PlannedStretch, resolutions: Resolutions): Promise<void> {
    const sends = this.#options.audit.resolution === 'redriven';
    const early = new Set(stretch.early.map(({ dlqOffset }) => dlqOffset));
    const waiting = stretch.early.filter(({ dlq, dlqPartition, dlqOffset, info }) => {
      return !resolutions.of(dlq, dlqPartition, dlqOffset, info.lastFailure);
    });
    let next = 0;
    await readLetters(this.#client, stretch, resolutions, async (letters) => {
      const chosen = await this.#options.select(letters.filter(isOpen));
      for (const letter of chosen) {
        if (early.has(letter.dlqOffset) || (sends && !this.#isSendable(letter))) continue;
        for (; sends; next += 1) {
          const older = waiting[next];
          if (older === undefined || originOffset(older) > originOffset(letter)) break;
          await this.#add(older);
        }
        await this.#add(letter);
      }
      // The letters are views of what was read: they are sent before the next ones come.
      await this.#send();
    });
    for (const letter of waiting.slice(next)) await this.#add(letter);
    await this.#send();
    await this.#committing;
  }

  #isSendable(letter: DeadLetter): boolean {
    return originOffset(letter) >= 0n && letter.info.replayCount < this.#options.maxReplays;
  }

  async #add(letter: DeadLetter): Promise<void> {
    this.#pending.push(letter);
    this.#pendingBytes += (letter.record.value?.length ?? 0) + 1_000;
    if (this.#pending.length >= BATCH_LETTERS || this.#pendingBytes >= BATCH_BYTES)
      await this.#send();
  }

  /** Sends what was gathered while the transaction before it commits; resolves when it may be gathered anew. */
  async #send(): Promise<void> {
    const letters = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (letters.length === 0) return;
    const { audit, patch, onProgress } = this.#options;
    const sends = audit.resolution === 'redriven';
    const values = patch === undefined ? undefined : await patch(letters);
    const now = Date.now();
    const batch = this.#producer.begin();
    const done: DeadLetter[] = [];
    for (const [i, letter] of letters.entries()) {
      const value = values === undefined ? letter.record.value : values[i];
      if (value === undefined) continue;
      done.push(letter);
      if (!sends) continue;
      const { record, info } = letter;
      const { topic, partition, key, headers } = redrivenRecord(record, audit.run, now, info);
      batch.append(topic, partition, key, value, now, headers);
    }
    for (const entry of this.#resolved(done, now)) {
      batch.append(DLQ_AUDIT_TOPIC, 0, audit.run, encodeEntry(entry), now);
    }
    await this.#committing;
    this.#committing = this.#producer.commit(batch, []).then(() => {
      this.#totals.letters += done.length;
      this.#totals.left += letters.length - done.length;
      onProgress?.(this.#totals.letters);
    });
    // Its failure is seen when it is awaited: by the next batch, or at the end of the stretch.
    this.#committing.catch(() => undefined);
  }

  #resolved(letters: readonly DeadLetter[], now: number): AuditEntry[] {
    const { run, resolution } = this.#options.audit;
    const partitions = Map.groupBy(letters, (letter) => `${letter.dlq}/${letter.dlqPartition}`);
    return [...partitions.values()].flatMap((own) => {
      const [first] = own;
      if (first === undefined) return [];
      const { dlq, dlqPartition: partition } = first;
      const ranges = toRanges(own.map(({ dlqOffset }) => dlqOffset));
      // A worker's clock may be ahead of ours; see Resolutions.of.
      const at = Math.max(now, ...own.map(({ info }) => info.lastFailure));
      return [{ kind: 'resolved', run, resolution, dlq, partition, ranges, at } as const];
    });
  }

  async #note(entry: AuditEntry): Promise<void> {
    const batch = this.#producer.begin();
    batch.append(DLQ_AUDIT_TOPIC, 0, entry.run, encodeEntry(entry), Date.now());
    await this.#producer.commit(batch, []);
  }
}
