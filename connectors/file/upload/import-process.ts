import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ReachflowError } from '../../../runtime/errors.ts';
import {
  allocatorEnvironment,
  STREAMING_HEAP,
  sizesHeap,
} from '../../../runtime/process-memory.ts';
import type { ImportProgress, ImportResult } from '../import-options.ts';
import {
  errorOf,
  type ImportCommand,
  type ImportSettings,
  type ImportTask,
  parseReport,
} from './import-messages.ts';

/** Imports files, one at a time. */
export interface Importer {
  /** @throws ReachflowError as `importFile`; `IMPORT_PROCESS_ENDED` (retry: backoff). */
  run(task: ImportTask, onProgress: (progress: ImportProgress) => void): Promise<ImportResult>;
  /** The import under way, if there is one, ends between two rows: `IMPORT_STOPPED`. */
  interrupt(): void;
  /** Gives its memory back; an import that is still under way fails. It can be used again. */
  close(): Promise<void>;
}

/** How long it waits for the next import before it ends, ms: small files come in rows, and its start costs most of them. */
const IDLE_MS = 5_000;
const CHILD = fileURLToPath(new URL('./import-child.ts', import.meta.url));

/**
 * Imports in a process of its own, which ends when there is nothing to import: mapping rows takes all of a core for as long as a
 * file is large, and what it takes of memory is bounded by that process's heap, not by the worker's. It ends with its
 * parent, however that ends.
 */
export class ImportProcess implements Importer {
  readonly #settings: ImportSettings;
  #child: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(settings: ImportSettings) {
    this.#settings = settings;
  }

  run(task: ImportTask, onProgress: (progress: ImportProgress) => void): Promise<ImportResult> {
    clearTimeout(this.#idle);
    const child = this.#started();
    const { promise, resolve, reject } = Promise.withResolvers<ImportResult>();
    const onMessage = (message: unknown) => {
      const report = parseReport(message);
      if (report?.type === 'progress') onProgress({ done: undefined, ...report.progress });
      else if (report?.type === 'done') resolve(report.result);
      else if (report?.type === 'failed') reject(errorOf(report.failure));
    };
    const onEnd = () => reject(ended(task.name, child));
    child.on('message', onMessage).once('exit', onEnd).once('error', onEnd);
    send(child, { type: 'import', task });
    return promise.finally(() => {
      child.off('message', onMessage).off('exit', onEnd).off('error', onEnd);
      this.#idle = setTimeout(() => this.#kill(), IDLE_MS);
      this.#idle.unref();
    });
  }

  interrupt(): void {
    if (this.#child !== undefined) send(this.#child, { type: 'stop' });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#child;
    this.#kill();
    if (child?.pid !== undefined && !hasEnded(child)) await once(child, 'exit');
  }

  /** What it has committed stays, and nothing else of it is worth an end in order. */
  #kill(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #started(): ChildProcess {
    const there = this.#child;
    if (there?.connected === true && !hasEnded(there)) return there;
    const child = fork(CHILD, {
      execArgv: [...process.execArgv.filter((option) => !sizesHeap(option)), ...STREAMING_HEAP],
      env: { ...process.env, ...allocatorEnvironment() },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    // What is sent to a process that has just ended fails here, too; its end is told by `exit`.
    child.on('error', () => undefined);
    send(child, { type: 'settings', settings: this.#settings });
    this.#child = child;
    return child;
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function send(child: ChildProcess, command: ImportCommand): void {
  // Of a process that is gone we hear by its `exit`.
  if (child.connected) child.send(command, () => undefined);
}

function ended(name: string, { exitCode, signalCode }: ChildProcess): ReachflowError {
  const how = signalCode ?? `exit code ${exitCode ?? 'unknown'}`;
  return new ReachflowError(`the process that imported ${name} ended (${how})`, {
    code: 'IMPORT_PROCESS_ENDED',
    domain: 'internal',
    retry: 'backoff',
    hint: 'It is started again, and goes on from what is committed. What it wrote last says why it ended.',
  });
}
