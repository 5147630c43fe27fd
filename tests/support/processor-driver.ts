import type { ReachflowError } from '../../runtime/errors.ts';
import type { BroadcastTable } from '../../runtime/state/broadcast-table.ts';
import { TaskState } from '../../runtime/state/store.ts';
import type { Outcome, Processor, ProcessorSpec } from '../../runtime/task/processor.ts';
import type { TopicName, TopicValue } from '../../schemas/topics.ts';

export interface Emitted {
  readonly topic: TopicName;
  readonly key: string;
  readonly value: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Runs one task of a processor without a broker, for unit tests: the same processor code and state as in
 * production, with what it emits collected, and a restart that restores from the changelog.
 */
export class ProcessorDriver {
  readonly emitted: Emitted[] = [];
  readonly tables = new Map<TopicName, Map<string, unknown>>();
  readonly #spec: ProcessorSpec;
  readonly #changelog = new Map<string, Buffer>();
  #state: TaskState;
  #processor: Processor<TopicName>;
  #offset = 0n;

  constructor(spec: ProcessorSpec) {
    this.#spec = spec;
    for (const { topic } of spec.tables) this.tables.set(topic, new Map());
    [this.#state, this.#processor] = this.#open();
  }

  #open(): [TaskState, Processor<TopicName>] {
    const state = new TaskState(this.#spec.stores);
    for (const [key, value] of this.#changelog) state.restore(key, value);
    const processor = this.#spec.create({
      partition: 0,
      store: (declared) => state.store(declared),
      table: <T extends TopicName, R>({ topic }: { topic: T }) => {
        const rows = this.tables.get(topic);
        if (rows === undefined) throw new Error(`${topic} is not declared`);
        return rows as unknown as BroadcastTable<R>;
      },
      emit: (topic, key, value, options) =>
        void this.emitted.push({ topic, key, value, headers: options?.headers ?? {} }),
    });
    processor.onStart?.();
    return [state, processor];
  }

  process<T extends TopicName>(value: TopicValue<T> | null, timestamp = 1_000): Outcome {
    const offset = this.#offset++;
    return this.#processor.process({ key: '', value, timestamp, partition: 0, offset });
  }

  /** Sets a row of a table and announces it. */
  changeTable(topic: TopicName, key: string, row: unknown): void {
    if (row === undefined) this.tables.get(topic)?.delete(key);
    else this.tables.get(topic)?.set(key, row);
    this.#processor.onTableChange?.(topic, key);
  }

  commit(): void {
    this.#processor.endEpoch?.();
    for (const { key, value } of this.#state.takeChanges()) {
      if (value === null) this.#changelog.delete(key);
      else this.#changelog.set(key, value);
    }
  }

  /** A new task on what was committed: what was not is gone. */
  restart(): void {
    [this.#state, this.#processor] = this.#open();
  }

  /** What was emitted since the last call. */
  take(): Emitted[] {
    return this.emitted.splice(0);
  }
}

/** The error of a dead-lettered outcome. */
export function errorOf(outcome: Outcome): ReachflowError {
  if (outcome.kind !== 'dlq') throw new Error(`outcome is ${outcome.kind}`);
  return outcome.error;
}
