import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { checkHealth } from '../health.ts';
import type { StackEvent } from '../types.ts';
import type { EmbeddedComponent, StartContext } from './component.ts';
import { diedError, launch } from './launch.ts';
import { aborted } from './lock.ts';
import { isAlive, type ProcessIdentity } from './process-identity.ts';
import { readReadiness, runningProcess, writeReadiness } from './state.ts';

/** On two busy cores the slowest engine needs about 20 s; what takes this long hangs. */
const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
const SAY_EVERY_MS = 2_000;

/**
 * Bring one component to healthy and set up, launching it unless it runs already. Returns whether it was
 * launched here.
 * @throws ReachflowError `STACK_COMPONENT_DIED`, `STACK_START_TIMEOUT`, `STACK_ABORTED`, or what preparing threw.
 */
export async function startComponent(
  component: EmbeddedComponent,
  context: StartContext,
  onProgress: (event: StackEvent) => void,
): Promise<boolean> {
  const { layout } = context;
  const { name } = component;
  const began = Date.now();
  const report = (status: StackEvent['status'], message: string): void =>
    onProgress({
      component: name,
      phase: 'start',
      status,
      message,
      elapsedMs: Date.now() - began,
    });
  const running = await runningProcess(layout, name);
  try {
    const process = running === undefined ? await prepareAndLaunch(component, context) : undefined;
    const identity = running ?? process?.identity;
    if (identity === undefined) throw new Error(`no process of ${name}`);
    await waitUntilReady(component, context, identity, (message) => report('working', message), {
      exit: () => process?.exit() ?? 'it no longer runs',
    });
    if (readReadiness(layout, name, identity) === undefined) {
      await component.setUp?.(context);
      await writeReadiness(layout, name, {
        pid: identity.pid,
        startTicks: identity.startTicks,
        startedInMs: Date.now() - began,
      });
    }
    report(running === undefined ? 'done' : 'cached', running === undefined ? 'ready' : 'runs');
    return running === undefined;
  } catch (error) {
    report('failed', error instanceof ReachflowError ? error.code : errorMessage(error));
    throw error;
  }
}

async function prepareAndLaunch(component: EmbeddedComponent, context: StartContext) {
  await component.prepare(context);
  if (context.signal?.aborted === true) throw aborted();
  return launch(context.layout, component.name, await component.command(context));
}

async function waitUntilReady(
  component: EmbeddedComponent,
  context: StartContext,
  identity: ProcessIdentity,
  say: (message: string) => void,
  process: { exit(): string },
): Promise<void> {
  const { name } = component;
  const began = Date.now();
  let saidAt = 0;
  let last: unknown;
  // Until its set-up has run, a component may not be usable at its endpoint yet.
  const ready =
    component.ready !== undefined && readReadiness(context.layout, name, identity) === undefined
      ? () => component.ready?.(context)
      : () => checkHealth(name, context.endpoints);
  while (Date.now() - began < START_TIMEOUT_MS) {
    if (context.signal?.aborted === true) throw aborted();
    if (!isAlive(identity)) throw await diedError(context.layout, name, process.exit());
    try {
      await ready();
      return;
    } catch (error) {
      last = error;
    }
    if (Date.now() - saidAt > SAY_EVERY_MS) {
      saidAt = Date.now();
      say('waiting until it answers');
    }
    await sleep(POLL_MS);
  }
  throw new ReachflowError(
    `${name} runs but did not become ready within ${START_TIMEOUT_MS / 1000} s: ${errorMessage(last)}`,
    {
      code: 'STACK_START_TIMEOUT',
      domain: 'external',
      retry: 'backoff',
      hint: `Its log: ${context.layout.logFile(name)}`,
      cause: last,
    },
  );
}
