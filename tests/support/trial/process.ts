import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskReport, WorkerMessage, WorkerSettings } from './settings.ts';

const SCRIPT = new URL('./worker.ts', import.meta.url).pathname;
/** How long a worker may take to answer, ms: on a machine that others use, too, it may not run for a while. */
const STATUS_MS = 30_000;

/** A worker of a trial as a process of its own. Its log is in a file, for a failing test. */
export class TrialWorker {
  readonly logFile: string;
  readonly stateDir: string;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<void>();
  readonly #exited: Promise<number | null>;
  #onStatus: ((tasks: readonly TaskReport[]) => void) | undefined;

  /** @param command before the worker's own: runs it in a mount namespace, for example. */
  constructor(dir: string, settings: WorkerSettings, command: readonly string[] = []) {
    mkdirSync(dir, { recursive: true });
    this.stateDir = settings.stateDir;
    this.logFile = join(dir, 'worker.log');
    const log = createWriteStream(this.logFile);
    const [program = process.execPath, ...args] = [...command, process.execPath, SCRIPT];
    const { PATH, HOME } = process.env;
    this.#child = spawn(program, args, {
      env: { PATH, HOME, TRIAL_SETTINGS: JSON.stringify(settings) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.stdout?.pipe(log, { end: false });
    this.#child.stderr?.pipe(log, { end: false });
    this.#ready.promise.catch(() => undefined);
    this.#child.on('message', (message: WorkerMessage) => {
      if (message.type === 'ready') this.#ready.resolve();
      else this.#onStatus?.(message.tasks);
    });
    this.#exited = once(this.#child, 'close').then(() => {
      log.end();
      return this.#child.exitCode;
    });
    this.#child.once('exit', (code, signal) => {
      this.#ready.reject(new Error(`a worker ended (${code ?? signal}), see ${this.logFile}`));
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the worker was not started');
    return pid;
  }

  /** What it has written so far. */
  get log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Resolves when the tasks of its first partitions run. @throws Error when it ends before. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Its exit code, once it has ended; null when a signal ended it. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** Its tasks. @throws Error when it does not answer. */
  async tasks(): Promise<readonly TaskReport[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly TaskReport[]>();
    this.#onStatus = resolve;
    const timer = setTimeout(() => reject(new Error('a worker does not answer')), STATUS_MS);
    this.#child.send('status');
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Ends it and waits for the end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (this.running) this.#child.kill(signal);
    return this.#exited;
  }
}
