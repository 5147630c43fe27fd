import type { TopicName } from '../../schemas/topics.ts';
import type { StreamTask } from '../task/stream-task.ts';
import { inputsOf, type SubTopology } from '../topology/graph.ts';
import { SimulatedCrash } from './memory-log.ts';
import { feed, type MemoryTaskOptions, openMemoryTask } from './memory-task.ts';

type Options = Omit<MemoryTaskOptions, 'backend'>;

/** One task of a test driver: opened, crashed and opened again; a step that throws stops it alone. */
export class DriverTask {
  readonly #options: Options;
  #task: StreamTask | undefined;
  #failure: unknown;
  #toldFailure = false;

  constructor(options: Options) {
    this.#options = options;
  }

  get sub(): SubTopology {
    return this.#options.sub;
  }

  get name(): string {
    return this.#options.sub.name;
  }

  get partition(): number {
    return this.#options.partition;
  }

  get current(): StreamTask {
    if (this.#task === undefined) throw new Error(`${this.name}[${this.partition}] is not open`);
    return this.#task;
  }

  get #works(): boolean {
    return this.#failure === undefined;
  }

  async open(): Promise<void> {
    if (this.#task !== undefined || this.#failure !== undefined) return;
    await this.#try(async () => {
      this.#task = await openMemoryTask(this.#options);
    });
  }

  /** As a crash does: nothing is finished, nothing is closed. */
  forget(): void {
    this.#task = undefined;
    this.#failure = undefined;
    this.#toldFailure = false;
  }

  /** Processes what has come. Returns whether there was anything. */
  async advance(): Promise<boolean> {
    let moved = false;
    for (const { topic } of inputsOf(this.#options.pipeline, this.sub)) {
      if (!this.#works) return moved;
      await this.#try(async () => {
        moved = (await feed(this.current, this.#options.log, topic)) || moved;
      });
    }
    return moved;
  }

  async tick(): Promise<void> {
    if (this.#works) await this.#try(() => this.current.tick());
  }

  async tableChanged(
    rows: readonly { readonly topic: TopicName; readonly key: string }[],
  ): Promise<void> {
    if (!this.#works || rows.length === 0) return;
    const task = this.current;
    for (const { topic, key } of rows)
      if (this.sub.nodes.some(({ tables }) => tables.some((table) => table.topic === topic)))
        task.tableChanged(topic, key);
    await this.#try(() => task.runTableChanges());
  }

  /** A crash is everybody's; anything else that is thrown stops this task alone. */
  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof SimulatedCrash) throw error;
      this.#failure = error;
    }
  }

  /** Throws why the task stands still, once. */
  throwNewFailure(): void {
    if (this.#failure === undefined || this.#toldFailure) return;
    this.#toldFailure = true;
    throw this.#failure;
  }

  async close(): Promise<void> {
    await this.#task?.close();
    this.forget();
  }
}
