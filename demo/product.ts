import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ReachflowError } from '../runtime/errors.ts';

export interface ProductOptions {
  /** The CLI's entry file: the product is `reachflow run`. */
  readonly cliPath: string;
  /** Node's own options, such as the limits of its heap. */
  readonly execArgv?: readonly string[];
  /** Added to `run`. */
  readonly args?: readonly string[];
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  readonly signal?: AbortSignal;
}

/** The product, running in a process of its own. */
export interface ProductProcess {
  readonly webhookUrl: string;
  /** Where it shows health and metrics; undefined when it does not. */
  readonly observabilityUrl: string | undefined;
  readonly pid: number;
  /** Rejects with `PRODUCT_ENDED` when the process ends without having been asked to; otherwise never settles. */
  readonly ended: Promise<never>;
  /** How it ended, once it has. */
  readonly exited: Promise<string>;
  /** Sends it a signal, to see what becomes of the rest. */
  kill(signal: NodeJS.Signals): void;
  /** Asks it to finish what it has begun and to end; kills it when that takes too long. Idempotent. */
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 20_000;
const LOG_TAIL_LINES = 12;

const readyMessage = z.object({
  type: z.literal('ready'),
  webhookUrl: z.url(),
  observabilityUrl: z.url().optional(),
});

/**
 * Starts `reachflow run` and waits until it takes input. It is in a process group of its own, so that Ctrl-C
 * reaches only us and it can finish; and it ends by itself when its IPC channel closes, so that it never
 * outlives us, not even after a kill -9.
 * @throws ReachflowError `PRODUCT_ENDED` or `PRODUCT_NOT_READY`, with the end of its log.
 */
export async function startProductProcess(options: ProductOptions): Promise<ProductProcess> {
  await mkdir(dirname(options.logFile), { recursive: true });
  const log = await open(options.logFile, 'w');
  const args = [...(options.execArgv ?? []), options.cliPath, 'run', ...(options.args ?? [])];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    env: { ...process.env, ...options.env },
  });
  await log.close();
  let stopping = false;
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once('error', (error) => resolve(error.message));
  });
  const ended = exited.then(async (how): Promise<never> => {
    if (stopping) return new Promise<never>(() => undefined);
    throw await failure('PRODUCT_ENDED', `the product ended by itself (${how})`, options.logFile);
  });
  // Whoever waits on it sees it; nobody may be waiting at that moment.
  ended.catch(() => undefined);
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await end(child, exited);
  };
  try {
    const ready = await Promise.race([ended, untilReady(child, options)]);
    const kill = (signal: NodeJS.Signals) => void child.kill(signal);
    const { webhookUrl, observabilityUrl } = ready;
    return { webhookUrl, observabilityUrl, pid: child.pid ?? 0, ended, exited, kill, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilReady(
  child: ChildProcess,
  { logFile, signal }: ProductOptions,
): Promise<z.infer<typeof readyMessage>> {
  const ready = new Promise<z.infer<typeof readyMessage>>((resolve) => {
    child.on('message', (message) => {
      const parsed = readyMessage.safeParse(message);
      if (parsed.success) resolve(parsed.data);
    });
  });
  const timer = new AbortController();
  const signals = [timer.signal, ...(signal === undefined ? [] : [signal])];
  try {
    const late = sleep(READY_TIMEOUT_MS, 'late' as const, { signal: AbortSignal.any(signals) });
    const first = await Promise.race([ready, late]);
    if (first !== 'late') return first;
  } catch (error) {
    throw signal?.aborted === true ? interrupted(error) : error;
  } finally {
    timer.abort();
  }
  throw await failure(
    'PRODUCT_NOT_READY',
    `the product was not ready after ${READY_TIMEOUT_MS / 1_000} s`,
    logFile,
  );
}

function interrupted(cause: unknown): ReachflowError {
  return new ReachflowError('interrupted before the product was ready', {
    code: 'INTERRUPTED',
    domain: 'user',
    cause,
  });
}

async function end(child: ChildProcess, exited: Promise<string>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = new AbortController();
  const late = sleep(STOP_TIMEOUT_MS, undefined, { signal: timer.signal }).then(
    () => child.kill('SIGKILL'),
    () => undefined,
  );
  await exited;
  timer.abort();
  await late;
}

async function failure(code: string, what: string, logFile: string): Promise<ReachflowError> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  const tail = text.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  return new ReachflowError(`${what}; its log ends with:\n${tail}`, {
    code,
    domain: 'internal',
    hint: `The whole log is in ${logFile}.`,
  });
}
