import { changelogOf } from '../../schemas/topics.ts';
import type { TaskState } from '../state/task-state.ts';
import { groupOf, type SubTopology } from '../topology/graph.ts';
import type { EpochOutput } from '../topology/operator.ts';
import { lineageOf } from './lineage.ts';
import type { TaskEpoch, TaskProducer } from './ports.ts';

export interface EpochsOptions {
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly partition: number;
  readonly producer: TaskProducer;
  readonly state: TaskState;
  /** Committed next offset of each source topic. */
  readonly positions: ReadonlyMap<string, bigint>;
  readonly now: () => number;
  /** Everything before this offset of the changelog has become redundant. */
  readonly onBoundary?: ((offset: bigint) => void) | undefined;
}

/**
 * The epochs of a task, one after the other: what the operators write, how far the inputs are read, and the commit of
 * both together with the changelog. The state's backend gets the changes only after it.
 */
export class Epochs {
  readonly #options: EpochsOptions;
  readonly #changelog: string;
  readonly #positions: Map<string, bigint>;
  #committed: ReadonlyMap<string, bigint>;
  #epoch: TaskEpoch;
  #lineage: Buffer | null = null;
  #boundary: bigint | undefined;
  /** Where operators write. */
  readonly output: EpochOutput;

  constructor(options: EpochsOptions) {
    this.#options = options;
    const { producer, pipeline, sub } = options;
    this.#positions = new Map(options.positions);
    this.#committed = new Map(options.positions);
    this.#changelog = changelogOf(pipeline, sub.name);
    this.#epoch = producer.begin();
    this.output = {
      partitionFor: (topic, key) => producer.partitionFor(topic, key),
      partitionsOf: (topic) => producer.partitionCount(topic),
      append: (topic, partition, key, value, timestamp, headers) => {
        this.#epoch.append(topic, partition, key, value, Math.trunc(timestamp), headers);
      },
      appendWith: (topic, partition, key, timestamp, headers, writer, value) => {
        const at = Math.trunc(timestamp);
        this.#epoch.appendWith(topic, partition, key, at, headers, writer, value);
      },
    };
  }

  /** Gives a new state its lineage. Once, before the first epoch. */
  start(): void {
    if (this.#options.sub.stateful) this.#lineage = lineageOf(this.#options.state);
  }

  /** Output records of the present epoch. */
  get count(): number {
    return this.#epoch.count;
  }

  /** Output bytes of the present epoch. */
  get bytes(): number {
    return this.#epoch.bytes;
  }

  /** Next input offset to process. */
  position(topic: string): bigint | undefined {
    return this.#positions.get(topic);
  }

  /** Next offset of each source topic, as committed. */
  get committed(): ReadonlyMap<string, bigint> {
    return this.#committed;
  }

  /** A source topic was processed up to `offset`; an earlier one changes nothing. */
  moveTo(topic: string, offset: bigint): void {
    const position = this.#positions.get(topic);
    if (position === undefined || offset > position) this.#positions.set(topic, offset);
  }

  /** Outputs, changelog and positions in one transaction. @throws as `TaskProducer.commit`, or `STATE_DISK_FULL`. */
  async commit(eventTimeMs: number): Promise<{ readonly records: number; readonly bytes: number }> {
    const { state, producer, partition, now } = this.#options;
    state.housekeep(eventTimeMs);
    const segments = state.takeChanges();
    for (const segment of segments) {
      this.#epoch.append(this.#changelog, partition, this.#lineage, segment, now());
    }
    const { count: records, bytes } = this.#epoch;
    const positions = new Map(this.#positions);
    const result = await producer.commit(this.#epoch, this.#offsets(positions));
    this.#epoch = producer.begin();
    this.#committed = positions;
    const nextOffset = result.nextOffset(this.#changelog, partition);
    if (segments.length > 0 && nextOffset === undefined) {
      throw new Error('a committed changelog has no offset');
    }
    state.committed(nextOffset ?? 0n);
    this.#tellBoundary();
    return { records, bytes };
  }

  /** The epoch is void: positions and state are again what was committed. */
  rollback(): void {
    this.#epoch.release();
    this.#epoch = this.#options.producer.begin();
    for (const [topic, position] of this.#committed) this.#positions.set(topic, position);
    this.#options.state.rollback();
  }

  #offsets(positions: ReadonlyMap<string, bigint>) {
    const { pipeline, sub, partition } = this.#options;
    const group = groupOf(pipeline, sub.name);
    return [...positions].flatMap(([topic, nextOffset]) =>
      nextOffset === this.#committed.get(topic) ? [] : [{ group, topic, partition, nextOffset }],
    );
  }

  #tellBoundary(): void {
    const { boundary } = this.#options.state;
    if (boundary === undefined || boundary === this.#boundary) return;
    this.#boundary = boundary;
    this.#options.onBoundary?.(boundary);
  }
}
