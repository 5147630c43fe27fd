import type { TopicName } from '../../schemas/topics.ts';
import type { StreamTask } from '../task/stream-task.ts';
import { inputsOf, type SubTopology } from '../topology/graph.ts';
import { SimulatedCrash } from './memory-log.ts';
import { feed, type MemoryTaskOptions, openMemoryTask } from './memory-task.ts';

type Options = Omit<MemoryTaskOptions, 'backend' | 'wait'>;

/** A record that waits to be tried again. */
interface Waiting {
  readonly untilMs: number;
  readonly go: () => void;
}

/** One task of a test driver: opened, crashed and opened again; a step that throws stops it alone. */
export class DriverTask {
  readonly #options: Options;
  #task: StreamTask | undefined;
  #waiting: Waiting | undefined;
  /** Resolves when the work under way waits for the clock. */
  #stands = Promise.withResolvers<void>();
  #running: Promise<unknown> | undefined;
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

  get #idle(): boolean {
    return this.#failure === undefined && this.#waiting === undefined;
  }

  async open(): Promise<void> {
    if (this.#task !== undefined || this.#failure !== undefined) return;
    await this.#try(async () => {
      this.#task = await openMemoryTask({
        ...this.#options,
        wait: (ms) => this.#wait(ms),
      });
    });
  }

  /** As a crash does: nothing is finished, nothing is closed. */
  forget(): void {
    this.#task = undefined;
    this.#waiting = undefined;
    this.#running = undefined;
    this.#failure = undefined;
    this.#toldFailure = false;
  }

  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting = { untilMs: this.#options.now() + ms, go: resolve };
    this.#stands.resolve();
    return promise;
  }

  /** Processes what has come. Returns whether there was anything. */
  async advance(): Promise<boolean> {
    let moved = false;
    for (const { topic } of inputsOf(this.#options.pipeline, this.sub)) {
      if (!this.#idle) return moved;
      await this.#try(async () => {
        const fed = await this.#untilStanding(feed(this.current, this.#options.log, topic));
        moved = moved || fed === true;
      });
    }
    return moved;
  }

  /** Goes on with a record whose time to be tried again has come. */
  async resume(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting === undefined || waiting.untilMs > this.#options.now()) return;
    this.#waiting = undefined;
    await this.#try(async () => {
      const running = this.#running;
      this.#stands = Promise.withResolvers();
      waiting.go();
      if (running !== undefined) await this.#untilStanding(running);
    });
  }

  async tick(): Promise<void> {
    if (this.#idle) await this.#try(() => this.current.tick());
  }

  async tableChanged(
    rows: readonly { readonly topic: TopicName; readonly key: string }[],
  ): Promise<void> {
    if (!this.#idle || rows.length === 0) return;
    const task = this.current;
    for (const { topic, key } of rows)
      if (this.sub.nodes.some(({ tables }) => tables.some((table) => table.topic === topic)))
        task.tableChanged(topic, key);
    await this.#try(() => task.runTableChanges());
  }

  /** Resolves with the work's result, or with undefined when it waits for the clock. */
  async #untilStanding<T>(work: Promise<T>): Promise<T | undefined> {
    this.#stands = Promise.withResolvers();
    this.#running = work;
    const result = await Promise.race([work, this.#stands.promise.then(() => undefined)]);
    // Awaited again once it is resumed; what it throws until then is no unhandled rejection.
    if (this.#waiting !== undefined) work.catch(() => undefined);
    else this.#running = undefined;
    return result;
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
    if (this.#waiting === undefined) await this.#task?.close();
    this.forget();
  }
}
