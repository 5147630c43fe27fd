import { setImmediate as macrotask } from 'node:timers/promises';
import type { Clock } from '../../runtime/delivery/clock.ts';
import type { Random } from './random.ts';

interface Task {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that moves only when everything waits for it. */
export class SimulatedClock implements Clock {
  readonly #random: Random;
  #tasks: Task[] = [];
  #now = 1_000_000;
  #order = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.#random.next();
  }

  /** Runs `run` after `ms`. */
  after(ms: number, run: () => void): Task {
    this.#order += 1;
    const task = { at: this.#now + Math.max(0, ms), order: this.#order, run };
    this.#tasks.push(task);
    return task;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      };
      const task = this.after(ms, done);
      const aborted = () => {
        this.#tasks = this.#tasks.filter((one) => one !== task);
        resolve();
      };
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Until `isDone`, or `limitMs` of simulated time has passed. @returns whether it is done. */
  async run(isDone: () => boolean, limitMs: number): Promise<boolean> {
    const end = this.#now + limitMs;
    for (;;) {
      await macrotask();
      if (isDone()) return true;
      let next: Task | undefined;
      for (const task of this.#tasks) {
        if (
          next === undefined ||
          task.at < next.at ||
          (task.at === next.at && task.order < next.order)
        )
          next = task;
      }
      if (next === undefined || next.at > end) return false;
      this.#tasks = this.#tasks.filter((one) => one !== next);
      this.#now = next.at;
      next.run();
    }
  }
}
