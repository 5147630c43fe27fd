import { ReachflowError } from '../../runtime/errors.ts';
import type { StreamTask } from '../../runtime/task/stream-task.ts';
import type { CrashPoint } from '../../runtime/testing/memory-log.ts';
import type { SubTopology } from '../../runtime/topology/graph.ts';

interface Parked {
  readonly point: CrashPoint;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * A task on a worker, one job at a time. At its awaits it parks until the schedule lets it go on, lets it fail, or
 * forgets it, as a crash does.
 */
export class Member {
  readonly worker: number;
  readonly sub: SubTopology;
  readonly partition: number;
  task: StreamTask | undefined;
  parked: Parked | undefined;
  /** Its partition went to another worker, which it does not know. */
  zombie = false;
  /** Of no further use: crashed, failed or closed. */
  gone = false;
  busy = false;
  /** What no schedule explains. */
  bug: unknown;

  constructor(worker: number, sub: SubTopology, partition: number) {
    this.worker = worker;
    this.sub = sub;
    this.partition = partition;
  }

  get id(): string {
    return `${this.sub.name}/${this.partition}`;
  }

  get ready(): boolean {
    return !this.gone && !this.busy && this.task !== undefined;
  }

  park(point: CrashPoint): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.parked = { point, go: resolve, fail: reject };
    return promise;
  }

  /** Lets it go on; with an error, as if the broker's answer was lost. */
  resume(error?: Error): void {
    const { parked } = this;
    this.parked = undefined;
    if (error === undefined) parked?.go();
    else parked?.fail(error);
  }

  /** Begins a job; it ends some time later, if it does. */
  begin(job: () => Promise<void>): void {
    this.busy = true;
    job().then(
      () => {
        this.busy = false;
      },
      (error: unknown) => {
        this.busy = false;
        this.gone = true;
        const expected =
          error instanceof ReachflowError && ['FENCED', 'COMMIT_FAILED'].includes(error.code);
        if (!expected) this.bug ??= error;
      },
    );
  }

  /** The process is gone at this moment. */
  crash(): void {
    this.gone = true;
    this.parked = undefined;
  }
}
