import { setTimeout as delay } from 'node:timers/promises';
import {
  type CircuitBreakerPolicy,
  CircuitState,
  circuitBreaker,
  handleAll,
  isBrokenCircuitError,
  SamplingBreaker,
} from 'cockatiel';
import PQueue from 'p-queue';
import { backoffMs } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { structuredSerde, type TtlStore, ttlStore } from '../state/contract.ts';
import type { AsyncCounters, BreakerState } from '../task/counters.ts';
import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import type { Outcome } from '../topology/outcome.ts';
import { derive, type StreamRecord } from '../topology/record.ts';
import type { AsyncOptions } from './async-options.ts';
import { requireOutput, settle } from './stateless.ts';

type AnyOptions = AsyncOptions<unknown, unknown>;
type Call = (value: unknown, signal: AbortSignal) => Promise<Outcome<unknown>>;
type AnyCall = (value: never, signal: never) => Promise<Outcome<unknown>>;
type Journal = ReturnType<typeof journalStore>;

/** Responses by request id, for as long as a replay may want them. */
export function journalStore(name: string, { journal }: AnyOptions) {
  return ttlStore<unknown>(name, {
    ttlMs: journal?.ttlMs ?? 1,
    serde: journal?.serde ?? structuredSerde(),
  });
}

/** Settled without a throw: what a call came to. */
type Result =
  | { readonly outcome: Outcome<unknown> }
  | { readonly failure: ReachflowError; readonly afterMs: number };

interface Pending {
  readonly record: StreamRecord;
  readonly journalId: string | undefined;
  readonly result: Promise<Result>;
}

const MAX_BACKOFF_MS = 30_000;

/**
 * Calls the outside world for many records of an epoch at once; results go on in the order of the records. The epoch
 * waits for them, so a crash calls again (at least once) unless the journal has the answer.
 */
export function asyncMapOperator(
  options: AnyOptions,
  call: AnyCall,
  journal: Journal | undefined,
): OperatorFactory {
  // One for the tasks of a process, and kept when a task begins anew: they call the same service.
  const breaker = breakerOf(options);
  return (context) => new AsyncMap(context, options, call as Call, journal, breaker);
}

function breakerOf({ breaker }: AnyOptions): CircuitBreakerPolicy | undefined {
  if (breaker === undefined) return undefined;
  return circuitBreaker(handleAll, {
    halfOpenAfter: breaker.openMs,
    breaker: new SamplingBreaker({
      threshold: breaker.failureRatio,
      duration: breaker.windowMs,
      minimumRps: breaker.minimumRps ?? 1,
    }),
  });
}

function breakerState({ state }: CircuitBreakerPolicy): BreakerState {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half-open' : 'open';
}

function asyncCounters(breaker: CircuitBreakerPolicy | undefined): AsyncCounters {
  return {
    inFlight: 0,
    // Asked when it is read: another task may have opened it.
    get breaker() {
      return breaker === undefined ? undefined : breakerState(breaker);
    },
  };
}

class AsyncMap implements Operator {
  readonly #context: OperatorContext;
  readonly #options: AnyOptions;
  readonly #call: Call;
  readonly #queue: PQueue;
  readonly #breaker: CircuitBreakerPolicy | undefined;
  readonly #journal: TtlStore<unknown> | undefined;
  readonly #counters: AsyncCounters;
  #pending: Pending[] = [];
  #isDisposed = false;

  constructor(
    context: OperatorContext,
    options: AnyOptions,
    call: Call,
    journal: Journal | undefined,
    breaker: CircuitBreakerPolicy | undefined,
  ) {
    this.#context = context;
    this.#options = options;
    this.#call = call;
    this.#queue = new PQueue({ concurrency: options.concurrency ?? 32 });
    this.#journal = journal === undefined ? undefined : context.store(journal);
    this.#breaker = breaker;
    context.counters.async ??= asyncCounters(breaker);
    this.#counters = context.counters.async;
  }

  process(record: StreamRecord): void {
    const journalId = this.#options.journal?.id(record.value);
    const known =
      journalId === undefined ? undefined : this.#journal?.get(journalId, record.timestamp);
    const result =
      known === undefined
        ? this.#queue.add(() => this.#run(record))
        : Promise.resolve<Result>({ outcome: { kind: 'ok', value: known } });
    this.#pending.push({ record, journalId: known === undefined ? journalId : undefined, result });
  }

  /** Never rejects: what fails is a result, too. */
  async #run(record: StreamRecord): Promise<Result> {
    const { retries = 2, backoffMs: initialMs = 200 } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return { outcome: await this.#attempt(record.value) };
      } catch (error) {
        if (attempt <= retries && !this.#isDisposed && !isBrokenCircuitError(error)) {
          await delay(backoffMs(attempt, { initialMs, maxMs: MAX_BACKOFF_MS }));
          continue;
        }
        return { failure: this.#failure(error, attempt), afterMs: this.#waitMs(initialMs) };
      }
    }
  }

  #attempt(value: unknown): Promise<Outcome<unknown>> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs ?? 10_000);
    const once = () => {
      this.#counters.inFlight += 1;
      return new Promise<Outcome<unknown>>((resolve, reject) => {
        // A call that does not heed its signal is given up all the same.
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        this.#call(value, signal).then(resolve, reject);
      }).finally(() => {
        this.#counters.inFlight -= 1;
      });
    };
    return this.#breaker === undefined ? once() : this.#breaker.execute(once);
  }

  #waitMs(initialMs: number): number {
    const open = this.#breaker?.state === CircuitState.Open;
    return open ? (this.#options.breaker?.openMs ?? initialMs) : Math.max(1_000, initialMs);
  }

  #failure(cause: unknown, attempts: number): ReachflowError {
    return new ReachflowError(
      `${this.#context.name} failed after ${attempts} attempts: ${errorMessage(cause)}`,
      { code: 'ASYNC_STEP_FAILED', domain: 'external', retry: 'backoff', cause },
    );
  }

  /** What waits for its turn is not called any more; calls under way end by their time-out at the latest. */
  dispose(): void {
    this.#isDisposed = true;
    this.#queue.clear();
  }

  /** In the order of the records, whichever call ends first. */
  async drain(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const { record, journalId, result } of pending) {
      const settled = await result;
      this.#context.resume(record);
      if ('outcome' in settled) this.#apply(record, journalId, settled.outcome);
      else if (this.#options.onFailure === 'dlq') this.#context.deadLetter(record, settled.failure);
      else this.#context.retryLater(record, settled.afterMs);
    }
  }

  #apply(record: StreamRecord, journalId: string | undefined, outcome: Outcome<unknown>): void {
    if (outcome.kind === 'ok') {
      if (journalId !== undefined) this.#journal?.set(journalId, outcome.value, record.timestamp);
      this.#context.forward(derive(record, outcome.value));
    } else if (outcome.kind === 'redirect') {
      requireOutput(this.#context, outcome.output)(derive(record, outcome.value));
    } else {
      settle(this.#context, record, outcome);
    }
  }
}
