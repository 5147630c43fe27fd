import { rm } from 'node:fs/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import { type ComponentName, componentNames } from '../types.ts';
import type { LaunchCommand } from './component.ts';
import { lastLines, openLog } from './launch.ts';
import type { StackLayout } from './layout.ts';
import { aborted } from './lock.ts';
import { isAlive } from './process-identity.ts';
import { readRecord, spawnRecorded } from './recorded-process.ts';

/** initdb and Kafka's format take a few seconds; what takes this long hangs. */
const TIMEOUT_MS = 90_000;
const QUOTED_LINES = 12;

/**
 * Run a command that makes a component's data directory, its output in the component's log. It is on record:
 * when we are killed meanwhile, the next operation ends it before it touches the directory.
 * @throws ReachflowError `STACK_PREPARATION_FAILED` quoting its last lines, `STACK_ABORTED`.
 */
export async function runPreparation(
  layout: StackLayout,
  component: ComponentName,
  what: string,
  command: LaunchCommand,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isAborted(signal)) throw aborted();
  const log = await openLog(layout, component);
  const onAbort = Promise.withResolvers<'aborted'>();
  const stop = (): void => onAbort.resolve('aborted');
  const timer = setTimeout(stop, TIMEOUT_MS);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const child = await spawnRecorded(layout.preparationFile(component), command, { log });
    const how = await Promise.race([child.ended, onAbort.promise]);
    if (how === 'exit code 0') return;
    if (how === 'aborted') await endPreparation(layout, component);
    throw isAborted(signal) ? aborted() : await failed(layout, component, what, how);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    await log.close();
    await rm(layout.preparationFile(component), { force: true });
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

async function failed(layout: StackLayout, component: ComponentName, what: string, how: string) {
  const lines = await lastLines(layout.logFile(component), QUOTED_LINES);
  const ended = how === 'aborted' ? `not done after ${TIMEOUT_MS / 1000} s` : how;
  return new ReachflowError(`${what} failed (${ended}):\n${lines.join('\n')}`, {
    code: 'STACK_PREPARATION_FAILED',
    domain: 'external',
    hint: `The whole log: ${layout.logFile(component)}`,
  });
}

/** End preparations whose launcher was killed. Call with the stack's lock held: then none can be in use. */
export async function endAbandonedPreparations(layout: StackLayout): Promise<void> {
  await Promise.all(componentNames.map((name) => endPreparation(layout, name)));
}

async function endPreparation(layout: StackLayout, component: ComponentName): Promise<void> {
  const identity = await readRecord(layout.preparationFile(component));
  if (identity !== undefined && isAlive(identity)) {
    // The whole session: initdb runs Postgres processes of its own.
    process.kill(-identity.pid, 'SIGKILL');
  }
  await rm(layout.preparationFile(component), { force: true });
}
