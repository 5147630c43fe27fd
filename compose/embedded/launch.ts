import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ReachflowError } from '../../runtime/errors.ts';
import type { ComponentName } from '../types.ts';
import type { LaunchCommand } from './component.ts';
import type { StackLayout } from './layout.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { run } from './provision/tools.ts';
import { type SpawnedProcess, spawnRecorded } from './recorded-process.ts';
import { forgetProcess, readProcess } from './state.ts';

const MAX_LOG_BYTES = 10 * 1024 * 1024;
const QUOTED_LINES = 15;

export interface LaunchedProcess {
  readonly identity: ProcessIdentity;
  /** How it ended, once it has; kept by the launcher, who is its parent. */
  exit(): string | undefined;
}

/**
 * Start a component as a detached process that outlives us, its output appended to its log.
 * @throws ReachflowError `STACK_COMPONENT_DIED` when it did not even become the engine.
 */
export async function launch(
  layout: StackLayout,
  component: ComponentName,
  command: LaunchCommand,
): Promise<LaunchedProcess> {
  await forgetProcess(layout, component);
  const log = await openLog(layout, component);
  const input = command.stdin === 'never-ending' ? await openEndless(layout, component) : undefined;
  let child: SpawnedProcess;
  try {
    const placed = { cwd: layout.dir, ...command };
    child = await spawnRecorded(layout.pidFile(component), placed, { log, input });
  } finally {
    await Promise.all([log.close(), input?.close()]);
  }
  const identity = await readProcess(layout, component);
  if (identity === undefined)
    throw await diedError(layout, component, child.exit() ?? 'no record of it');
  return { identity, exit: child.exit };
}

/** What to say when a component ended while it should have started: the reason is in its last lines. */
export async function diedError(
  layout: StackLayout,
  component: ComponentName,
  how: string,
): Promise<ReachflowError> {
  const file = layout.logFile(component);
  const lines = await lastLines(file, QUOTED_LINES);
  return new ReachflowError(
    `${component} ended during its start (${how}). Its last lines:\n${lines.join('\n')}`,
    {
      code: 'STACK_COMPONENT_DIED',
      domain: 'external',
      hint: `The whole log: ${file}`,
    },
  );
}

/** The last lines of a log; none when there is no log. Reads at most 64 KiB per call. */
export async function lastLines(file: string, count: number): Promise<string[]> {
  const limit = 64 * 1024;
  const size = (await stat(file).catch(() => undefined))?.size ?? 0;
  if (size === 0) return [];
  const text =
    size <= limit ? await readFile(file, 'utf8') : await readTail(file, size - limit, limit);
  return text.replace(/\n$/, '').split('\n').slice(-count);
}

async function readTail(file: string, position: number, length: number): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** One older log is kept: an engine that logs much takes 20 MB per restart at most. */
export async function openLog(layout: StackLayout, component: ComponentName): Promise<FileHandle> {
  const file = layout.logFile(component);
  await mkdir(dirname(file), { recursive: true });
  const size = (await stat(file).catch(() => undefined))?.size ?? 0;
  if (size > MAX_LOG_BYTES) await rename(file, `${file}.1`);
  return open(file, 'a');
}

/** A FIFO opened for reading and writing: the process that inherits it is its writer too, so it never ends. */
async function openEndless(layout: StackLayout, component: ComponentName): Promise<FileHandle> {
  const fifo = `${layout.pidFile(component)}.stdin`;
  await mkdir(dirname(fifo), { recursive: true });
  await rm(fifo, { force: true });
  await run('mkfifo', 'mkfifo', [fifo]);
  return open(fifo, constants.O_RDWR);
}
