import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ProcessMessage, parseMessage } from '../../cli/workers/messages.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;

type WorkersMessage = Extract<ProcessMessage, { type: 'workers' }>;

/** One worker of `run --workers n`, as its supervisor last reported it. */
export type WorkerReport = WorkersMessage['workers'][number];

/**
 * `reachflow run` as a process of its own, as a user starts it. Its log is in a file, for a failing test; its state and spool in
 * directories of its own, as on a host of its own, unless `env` names one.
 */
export class ReachflowProcess {
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<{ webhookUrl?: string | undefined }>();
  readonly #exited: Promise<number | null>;
  #workers: readonly WorkerReport[] = [];

  /** @param env `REACHFLOW_*` settings. */
  constructor(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
    const dir = mkdtempSync(join(tmpdir(), 'reachflow-run-'));
    this.logFile = join(dir, 'run.log');
    const log = createWriteStream(this.logFile);
    this.#child = spawn(process.execPath, [BIN, 'run', ...args], {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        REACHFLOW_STATE_DIR: join(dir, 'state'),
        REACHFLOW_WEBHOOK_SPOOL_DIR: join(dir, 'spool'),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.stdout?.pipe(log);
    this.#child.stderr?.pipe(log);
    this.#ready.promise.catch(() => undefined);
    this.#child.on('message', (message) => {
      const parsed = parseMessage(message);
      if (parsed?.type === 'ready') this.#ready.resolve(parsed);
      if (parsed?.type === 'workers') this.#workers = parsed.workers;
    });
    this.#exited = once(this.#child, 'exit').then(() => this.#child.exitCode);
    this.#child.once('exit', (code, signal) => {
      this.#ready.reject(new Error(`reachflow run ended (${code ?? signal}), see ${this.logFile}`));
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('reachflow run was not started');
    return pid;
  }

  /** With `--workers`: each worker, as last reported. */
  get workers(): readonly WorkerReport[] {
    return this.#workers;
  }

  /** What it has written so far. */
  get log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Resolves when it takes input; with `--workers`, when all of them do. */
  ready(): Promise<{ webhookUrl?: string | undefined }> {
    return this.#ready.promise;
  }

  /** Its exit code, once it has ended; null when a signal ended it. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** Freezes it, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Ends it and waits for the end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (!this.running) return this.#child.exitCode;
    this.#child.kill(signal);
    return this.#exited;
  }
}
