import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;

/** `reachflow run` as a process of its own, as a user starts it. Its log is in a file, for a failing test. */
export class ReachflowProcess {
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<{ webhookUrl?: string }>();

  /** @param env `REACHFLOW_*` settings. */
  constructor(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
    this.logFile = join(mkdtempSync(join(tmpdir(), 'reachflow-run-')), 'run.log');
    const log = createWriteStream(this.logFile);
    this.#child = spawn(process.execPath, [BIN, 'run', ...args], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.stdout?.pipe(log);
    this.#child.stderr?.pipe(log);
    this.#ready.promise.catch(() => undefined);
    this.#child.on('message', (message: { type: string; webhookUrl?: string }) => {
      if (message.type === 'ready') this.#ready.resolve(message);
    });
    this.#child.once('exit', (code, signal) => {
      this.#ready.reject(new Error(`reachflow run ended (${code ?? signal}), see ${this.logFile}`));
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it takes input. */
  ready(): Promise<{ webhookUrl?: string }> {
    return this.#ready.promise;
  }

  /** Freezes it, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Ends it and waits for the end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (!this.running) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
    return this.#child.exitCode;
  }
}
