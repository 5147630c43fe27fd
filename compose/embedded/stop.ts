import { setTimeout as sleep } from 'node:timers/promises';
import type { ComponentName, StackEvent } from '../types.ts';
import { embeddedComponents } from './components/index.ts';
import type { StackLayout } from './layout.ts';
import { endAbandonedPreparations } from './preparation.ts';
import { isAlive, type ProcessIdentity, signalProcess } from './process-identity.ts';
import { forgetProcess, runningProcess } from './state.ts';

/** Connect first, while its broker can still take its last offsets; what others depend on last. */
const stopOrder: readonly (readonly ComponentName[])[] = [
  ['connect'],
  ['registry', 'elasticsearch', 'clickhouse', 'kafka', 'postgres'],
];

const POLL_MS = 25;
const KILL_TIMEOUT_MS = 5_000;

/** Stop those of the components that run, each cleanly or, after its bound, by SIGKILL. Returns what it stopped. */
export async function stopComponents(
  layout: StackLayout,
  names: readonly ComponentName[],
  onProgress: (event: StackEvent) => void,
): Promise<ComponentName[]> {
  await endAbandonedPreparations(layout);
  const stopped: ComponentName[] = [];
  for (const group of stopOrder) {
    const members = group.filter((name) => names.includes(name));
    await Promise.all(
      members.map(async (name) => {
        if (await stopOne(layout, name, onProgress)) stopped.push(name);
      }),
    );
  }
  return stopped;
}

async function stopOne(
  layout: StackLayout,
  name: ComponentName,
  onProgress: (event: StackEvent) => void,
): Promise<boolean> {
  const identity = await runningProcess(layout, name);
  if (identity === undefined) {
    await forgetProcess(layout, name);
    return false;
  }
  const began = Date.now();
  const report = (status: StackEvent['status'], message: string): void =>
    onProgress({
      component: name,
      phase: 'stop',
      status,
      message,
      elapsedMs: Date.now() - began,
    });
  report('working', 'stopping');
  const component = embeddedComponents[name];
  // A process stopped by SIGSTOP would not see the request.
  signalProcess(identity, 'SIGCONT');
  signalProcess(identity, component.stopSignal);
  let how = 'stopped';
  if (!(await endsWithin(identity, component.stopTimeoutMs))) {
    signalProcess(identity, 'SIGKILL');
    how = `killed after ${component.stopTimeoutMs / 1000} s`;
    await endsWithin(identity, KILL_TIMEOUT_MS);
  }
  await forgetProcess(layout, name);
  report('done', how);
  return true;
}

/** Wait until the process has ended; false when it has not in time. */
export async function endsWithin(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    if (!isAlive(identity)) return true;
    await sleep(POLL_MS);
  }
  return !isAlive(identity);
}
