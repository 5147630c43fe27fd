import PQueue from 'p-queue';
import { type Clock, jittered, systemClock } from '../../../runtime/delivery/clock.ts';
import { type BreakerState, StoreBreaker } from '../../../runtime/delivery/store-breaker.ts';
import { type EnrichmentConfig, type ProviderConfig, SHARED_MS } from '../config.ts';
import { type Answer, type Provider, ProviderError } from './provider.ts';

export type ClientOptions = Pick<
  ProviderConfig,
  'batchSize' | 'lingerMs' | 'concurrency' | 'requestsPerSecond' | 'timeoutMs' | 'ttlMs'
> &
  Pick<EnrichmentConfig, 'attempts' | 'breaker'>;

/** What asking came to. */
export interface Reply {
  readonly answer: Answer;
  /** Whether nobody was called: another task has asked just now. */
  readonly shared: boolean;
  /** ms since it was answered. */
  readonly ageMs: number;
  /** From the first attempt on, ms. */
  readonly durationMs: number;
}

interface Recent {
  readonly answer: Answer;
  readonly at: number;
}

interface Batch {
  readonly subjects: string[];
  readonly reply: PromiseWithResolvers<ReadonlyMap<string, Reply>>;
}

/** Answers that tasks of a process share: some 10 MB. */
const MAX_RECENT = 20_000;
/** A breaker that lets probes through says so in ms below this: they are waited for. */
const PROBE_WAIT_MS = 1_000;
/** Looks at a breaker whose probes are under way; then the request fails. */
const MAX_PROBE_WAITS = 100;

/**
 * A provider as the tasks of a process share it: subjects in batches, as many requests as it takes, attempts, a breaker.
 * A subject is asked about once at a time, and what was answered lately is not asked again: a task that is opened anew
 * asks for what it had not committed.
 */
export class ProviderClient {
  readonly #provider: Provider;
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #queue: PQueue;
  readonly #breaker: StoreBreaker;
  readonly #underWay = new Map<string, Promise<Reply>>();
  /** In the order in which they were answered. */
  readonly #recent = new Map<string, Recent>();
  #batch: Batch | undefined;
  /** Until when the provider asked to be left alone. */
  #pausedUntil = 0;

  constructor(provider: Provider, options: ClientOptions, clock: Clock = systemClock) {
    this.#provider = provider;
    this.#options = options;
    this.#clock = clock;
    const { concurrency, requestsPerSecond, breaker } = options;
    this.#queue = new PQueue({ concurrency, interval: 1_000, intervalCap: requestsPerSecond });
    const { minimumCalls: minimumWrites, ...figures } = breaker;
    this.#breaker = new StoreBreaker({ ...figures, minimumWrites }, clock);
  }

  get breaker(): BreakerState {
    return this.#breaker.state;
  }

  /** Asks about a subject. Never rejects: a request that fails is an answer. Ends after the attempts, in bounded time. */
  ask(subject: string): Promise<Reply> {
    const recent = this.#recentOf(subject);
    if (recent !== undefined) return Promise.resolve(recent);
    const known = this.#underWay.get(subject);
    if (known !== undefined) return known.then((reply) => ({ ...reply, shared: true }));
    const asked = this.#enqueue(subject).finally(() => this.#underWay.delete(subject));
    this.#underWay.set(subject, asked);
    return asked;
  }

  #recentOf(subject: string): Reply | undefined {
    const recent = this.#recent.get(subject);
    if (recent === undefined) return undefined;
    const ageMs = this.#clock.now() - recent.at;
    if (ageMs < Math.min(SHARED_MS, this.#options.ttlMs))
      return { answer: recent.answer, shared: true, ageMs, durationMs: 0 };
    this.#recent.delete(subject);
    return undefined;
  }

  async #enqueue(subject: string): Promise<Reply> {
    this.#batch ??= this.#newBatch();
    const batch = this.#batch;
    batch.subjects.push(subject);
    if (batch.subjects.length >= this.#options.batchSize) this.#send(batch);
    const replies = await batch.reply.promise;
    return replies.get(subject) ?? missing;
  }

  #newBatch(): Batch {
    const batch: Batch = { subjects: [], reply: Promise.withResolvers() };
    void this.#clock.sleep(this.#options.lingerMs).then(() => this.#send(batch));
    return batch;
  }

  #send(batch: Batch): void {
    if (this.#batch !== batch) return;
    this.#batch = undefined;
    batch.reply.resolve(this.#request(batch.subjects));
  }

  async #request(subjects: readonly string[]): Promise<ReadonlyMap<string, Reply>> {
    let began: number | undefined;
    const { times } = this.#options.attempts;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answers = await this.#queue.add(() => {
          began ??= this.#clock.now();
          return this.#attempt(subjects);
        });
        return this.#replies(subjects, answers, began);
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error;
        const waitMs = this.#waitMs(error, attempt);
        if (attempt >= times || error.retry === 'none' || waitMs === undefined)
          return failures(subjects, error, this.#clock.now() - (began ?? this.#clock.now()));
        await this.#clock.sleep(waitMs);
      }
    }
  }

  /** Before the next attempt; undefined when the provider asks for more than an attempt may wait. */
  #waitMs({ retryAfterMs }: ProviderError, attempt: number): number | undefined {
    const { backoffMs: initialMs, maxBackoffMs: maxMs } = this.#options.attempts;
    const own = jittered(this.#clock, attempt, { initialMs, maxMs });
    if (retryAfterMs === undefined) return own;
    this.#pausedUntil = Math.max(
      this.#pausedUntil,
      this.#clock.now() + Math.min(retryAfterMs, maxMs),
    );
    return retryAfterMs > maxMs ? undefined : Math.max(own, retryAfterMs);
  }

  async #attempt(subjects: readonly string[]): Promise<ReadonlyMap<string, Answer>> {
    // Holds its place in the queue: those behind it would be refused as well.
    await this.#clock.sleep(Math.max(0, this.#pausedUntil - this.#clock.now()));
    const settle = await this.#enter();
    try {
      const answers = await this.#inTime(subjects);
      settle(true);
      return answers;
    } catch (error) {
      const known = error instanceof ProviderError;
      // One that says `too often` is well.
      settle(known && error.code === 'PROVIDER_RATE_LIMITED');
      throw error;
    }
  }

  /** The provider heeds its signal, or is given up all the same. */
  async #inTime(subjects: readonly string[]): Promise<ReadonlyMap<string, Answer>> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs);
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = () =>
      reject(
        new ProviderError('it did not answer in time', {
          ...{ code: 'PROVIDER_TIMEOUT', retry: 'backoff' },
        }),
      );
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await Promise.race([this.#provider.ask(subjects, signal), promise]);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #enter(): Promise<(succeeded: boolean) => void> {
    for (let wait = 0; wait < MAX_PROBE_WAITS; wait += 1) {
      const leave = this.#breaker.enter();
      if (typeof leave === 'function') return leave;
      if (leave > PROBE_WAIT_MS || this.#breaker.state === 'open') break;
      await this.#clock.sleep(leave);
    }
    throw new ProviderError('it is left alone: too many requests have failed', {
      ...{ code: 'PROVIDER_LEFT_ALONE', retry: 'none' },
    });
  }

  #replies(
    subjects: readonly string[],
    answers: ReadonlyMap<string, Answer>,
    began = this.#clock.now(),
  ): ReadonlyMap<string, Reply> {
    const at = this.#clock.now();
    const durationMs = at - began;
    return new Map(
      subjects.map((subject) => {
        const answer = answers.get(subject) ?? missing.answer;
        if (answer.outcome !== 'failed') this.#remember(subject, { answer, at });
        return [subject, { answer, shared: false, ageMs: 0, durationMs }];
      }),
    );
  }

  #remember(subject: string, recent: Recent): void {
    this.#recent.delete(subject);
    this.#recent.set(subject, recent);
    const [oldest] = this.#recent.keys();
    if (this.#recent.size > MAX_RECENT && oldest !== undefined) this.#recent.delete(oldest);
  }
}

const missing: Reply = {
  answer: { outcome: 'failed', reason: 'the answer leaves it out' },
  shared: false,
  ageMs: 0,
  durationMs: 0,
};

function failures(
  subjects: readonly string[],
  { message: reason }: ProviderError,
  durationMs: number,
): ReadonlyMap<string, Reply> {
  const answer = { outcome: 'failed', reason } as const;
  return new Map(
    subjects.map((subject) => [subject, { answer, shared: false, ageMs: 0, durationMs }]),
  );
}
