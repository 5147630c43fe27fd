import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ReachflowError } from '../runtime/errors.ts';
import {
  dockerLogs,
  dockerStatus,
  dockerWorkerUrls,
  downDocker,
  resetDocker,
  upDocker,
} from './docker.ts';
import { embeddedEndpoints } from './embedded/endpoints.ts';
import { stackLayout, stackSubdirectories } from './embedded/layout.ts';
import { followLog } from './embedded/logs.ts';
import type { Ports } from './embedded/ports.ts';
import { signalProcess } from './embedded/process-identity.ts';
import {
  allAlive,
  embeddedStatus,
  removeEmbeddedData,
  upEmbedded,
  withStackLock,
} from './embedded/stack.ts';
import {
  type EmbeddedState,
  readState,
  runningProcess,
  type StackState,
  writeState,
} from './embedded/state.ts';
import { endsWithin, stopComponents } from './embedded/stop.ts';
import type { StackEndpoints } from './endpoints.ts';
import { upExternal } from './external.ts';
import {
  type ComponentName,
  componentNames,
  type RunningStack,
  type StackEvent,
  type StackOptions,
  type StackStatus,
} from './types.ts';

export type { StackEndpoints } from './endpoints.ts';
export * from './types.ts';

type Report = (event: StackEvent) => void;
const silent: Report = () => undefined;

/**
 * Start the stack, or find it running: then it returns at once. Starts only what is missing or has died.
 * @throws ReachflowError saying which engine failed and why; what this call started is stopped again.
 */
export async function upStack(options: StackOptions): Promise<RunningStack> {
  return withStackLock(options, async () => {
    const layout = stackLayout(options.dir);
    const state = readState(layout);
    assertSameEngine(state, options);
    switch (options.engine) {
      case 'embedded':
        return upEmbedded(options, state?.engine === 'embedded' ? state : undefined);
      case 'docker': {
        const running = await upDocker(options);
        await writeState(layout, { format: 1, engine: 'docker', endpoints: running.endpoints });
        return running;
      }
      case 'external':
        return upExternal(options);
    }
  });
}

/** Stop what this stack started, and nothing else. Returns what was running. Data stays. */
export async function downStack(
  dir: string,
  onProgress: Report = silent,
): Promise<ComponentName[]> {
  if (!existsSync(dir)) return [];
  return withStackLock({ dir, onProgress }, () => down(dir, onProgress));
}

async function down(dir: string, onProgress: Report): Promise<ComponentName[]> {
  const layout = stackLayout(dir);
  if (readState(layout)?.engine === 'docker') return downDocker(onProgress);
  return stopComponents(layout, componentNames, onProgress);
}

/**
 * Stop the stack and remove its data, configuration and logs. Provisioned engines stay in the user cache.
 * Returns false when `dir` holds no stack.
 */
export async function resetStack(dir: string, onProgress: Report = silent): Promise<boolean> {
  const layout = stackLayout(dir);
  // A directory that holds no stack is somebody else's: its `data` and `logs` are not ours to remove.
  if (!existsSync(layout.stateFile)) return false;
  await withStackLock({ dir, onProgress }, async () => {
    // A state that cannot be read is one of the reasons to reset: the processes' records do not depend on it.
    const docker = engineOf(dir) === 'docker';
    if (docker) await resetDocker(onProgress);
    else await stopComponents(layout, componentNames, onProgress);
    await removeEmbeddedData(layout);
  });
  return true;
}

/** What runs, how much memory it takes and whether it answers; undefined when no stack was started in `dir`. */
export async function stackStatus(dir: string): Promise<StackStatus | undefined> {
  const layout = stackLayout(dir);
  const state = readState(layout);
  if (state === undefined) return undefined;
  return state.engine === 'docker'
    ? dockerStatus(state.endpoints as StackEndpoints)
    : embeddedStatus(layout, state.ports as Ports);
}

/**
 * The endpoints of the running stack; undefined when any of its engines does not run. Looks at processes only
 * and sends nothing, so that every command can call it.
 */
export function readEndpoints(dir: string): StackEndpoints | undefined {
  const layout = stackLayout(dir);
  const state = readState(layout);
  if (state === undefined) return undefined;
  if (state.engine === 'docker') return state.endpoints as StackEndpoints;
  return allAlive(layout) ? embeddedEndpoints(state.ports as Ports) : undefined;
}

/** Where the Connect worker finds source database, registry and brokers, when that differs from the endpoints. */
export function readWorkerUrls(
  dir: string,
): { database: string; registry: string; brokers: readonly string[] } | undefined {
  return readState(stackLayout(dir))?.engine === 'docker' ? dockerWorkerUrls : undefined;
}

export interface LogOptions {
  /** How many of the last lines to begin with. */
  readonly lines: number;
  /** Go on as lines are written, until the signal. */
  readonly follow: boolean;
  readonly signal?: AbortSignal;
}

/** The lines of one engine's log, oldest first. */
export function stackLogs(
  dir: string,
  component: ComponentName,
  options: LogOptions,
): AsyncIterable<string> {
  const layout = stackLayout(dir);
  return readState(layout)?.engine === 'docker'
    ? dockerLogs(component, options)
    : followLog(layout.logFile(component), options);
}

/** Stop one engine of an embedded stack cleanly; false when it did not run. For fault tests. */
export async function stopComponent(dir: string, component: ComponentName): Promise<boolean> {
  const stopped = await withStackLock({ dir, onProgress: silent }, () =>
    stopComponents(stackLayout(dir), [component], silent),
  );
  return stopped.length > 0;
}

/** Start one engine of an embedded stack (and those it needs) on the ports it had, while these are free. */
export async function startComponent(
  dir: string,
  component: ComponentName,
  onProgress: Report = silent,
): Promise<RunningStack> {
  const { cacheDir } = embeddedState(dir);
  return upStack({ engine: 'embedded', dir, cacheDir, components: [component], onProgress });
}

/**
 * Send a signal to one engine of an embedded stack; false when it did not run. After SIGKILL it waits until
 * the process is gone. For fault tests.
 */
export async function killComponent(
  dir: string,
  component: ComponentName,
  signal: NodeJS.Signals,
): Promise<boolean> {
  const identity = await runningProcess(stackLayout(dir), component);
  if (identity === undefined || !signalProcess(identity, signal)) return false;
  return signal === 'SIGKILL' ? endsWithin(identity, 5_000) : true;
}

function embeddedState(dir: string): EmbeddedState {
  const state = readState(stackLayout(dir));
  if (state?.engine === 'embedded') return state;
  throw new ReachflowError(`There is no embedded stack in ${dir}`, {
    code: 'STACK_NOT_FOUND',
    domain: 'user',
    hint: 'Start one: `reachflow stack up`.',
  });
}

function engineOf(dir: string): StackState['engine'] | undefined {
  try {
    return readState(stackLayout(dir))?.engine;
  } catch (error) {
    if (error instanceof ReachflowError && error.code === 'STACK_STATE_INVALID') return undefined;
    throw error;
  }
}

/** One directory is one stack: its data belongs to the engine that wrote it. */
function assertSameEngine(state: StackState | undefined, options: StackOptions): void {
  if (state === undefined && options.engine === 'embedded') assertNotForeign(options.dir);
  if (state === undefined || options.engine === 'external' || state.engine === options.engine)
    return;
  throw new ReachflowError(`${options.dir} holds a stack of the engine \`${state.engine}\`.`, {
    code: 'STACK_ENGINE_MISMATCH',
    domain: 'user',
    hint: `Use another directory (\`--dir\`), or remove that stack: \`reachflow stack reset --dir ${options.dir}\`.`,
  });
}

/** Our subdirectories never exist without our state file, so these are somebody else's. */
function assertNotForeign(dir: string): void {
  const found = stackSubdirectories.filter((name) => existsSync(join(dir, name)));
  if (found.length === 0) return;
  throw new ReachflowError(`${dir} is no stack directory, and has ${found.join(', ')} already.`, {
    code: 'STACK_DIR_IN_USE',
    domain: 'user',
    hint: 'Choose an empty or new directory with `--dir` or `stack.dir`.',
  });
}
