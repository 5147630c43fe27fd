import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Replay } from '../../replay/journal.ts';
import { backoffMs } from '../../runtime/backoff.ts';

/** How often in a row a worker may fail before its replay is left standing; `replay resume` begins anew. */
const MAX_FAILURES = 20;
/** A worker that ran so long has not failed at once, ms. */
const LASTING_MS = 60_000;
/** Of a worker's heap, MiB: with what is outside of it, well below 512. */
const HEAP_MB = 320;

function argsOf({ code, name }: Replay, verb: string, config: string | undefined): string[] {
  const bin = join(code.dir, 'bin', 'reachflow.js');
  return [bin, 'replay', verb, name, ...(config === undefined ? [] : ['--config', config])];
}

/** Starts a replay's workers, which outlive the command. @returns the process that keeps them running. */
export function startWorkers(replay: Replay, config: string | undefined): number | undefined {
  mkdirSync(replay.home, { recursive: true });
  const log = openSync(join(replay.home, 'workers.log'), 'a');
  const child = spawn(process.execPath, argsOf(replay, 'supervise', config), {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  return child.pid;
}

/** Keeps a replay's workers running until they are done, each for itself. */
export async function superviseWorkers(replay: Replay, config: string | undefined): Promise<void> {
  await Promise.all(Array.from({ length: replay.workers }, () => keepRunning(replay, config)));
}

async function keepRunning(replay: Replay, config: string | undefined): Promise<void> {
  const args = [`--max-old-space-size=${HEAP_MB}`, ...argsOf(replay, 'work', config)];
  for (let failures = 0; failures < MAX_FAILURES; ) {
    const began = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code === 0) return;
    failures = performance.now() - began > LASTING_MS ? 1 : failures + 1;
    await delay(backoffMs(failures, { initialMs: 200, maxMs: 10_000 }));
  }
}
