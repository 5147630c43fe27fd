import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StackEndpoints } from '../endpoints.ts';
import { checkHealth } from '../health.ts';
import {
  type ComponentName,
  type ComponentStatus,
  componentNames,
  endpointText,
  type RunningStack,
  type StackOptions,
  type StackStatus,
} from '../types.ts';
import type { StartContext } from './component.ts';
import { embeddedComponents } from './components/index.ts';
import { embeddedEndpoints } from './endpoints.ts';
import { type StackLayout, stackLayout, stackSubdirectories } from './layout.ts';
import { acquireLock } from './lock.ts';
import { assertPlatform } from './platform.ts';
import { choosePorts, type Ports } from './ports.ts';
import { dataDirFor, postgresUser } from './postgres/place.ts';
import { endAbandonedPreparations } from './preparation.ts';
import { isAlive, memoryBytes } from './process-identity.ts';
import { provision } from './provision/provision.ts';
import { unitHome } from './provision/unit.ts';
import { unitOf } from './provision/units.ts';
import { startComponent } from './start.ts';
import {
  type EmbeddedState,
  readProcessNow,
  readReadiness,
  runningProcess,
  writeState,
} from './state.ts';
import { stopComponents } from './stop.ts';
import { findJdk, type Jdk } from './toolchain.ts';

/**
 * Start what is missing of the wanted components. Two calls on one directory run one after the other; the
 * second finds what the first has started.
 */
export async function upEmbedded(
  options: StackOptions,
  state: EmbeddedState | undefined,
): Promise<RunningStack> {
  assertPlatform();
  const layout = stackLayout(options.dir);
  const wanted = withNeeds(options.components ?? componentNames);
  await endAbandonedPreparations(layout);
  const running = await runningComponents(layout);
  const ports = await choosePorts(layout.dir, (state?.ports ?? {}) as Partial<Ports>, running);
  const missing = new Set(wanted.filter((name) => !running.has(name)));
  if (running.has('connect') && connectMustFollow(state, ports)) {
    await stopComponents(layout, ['connect'], options.onProgress);
    missing.add('connect');
  }
  const context = startContext(layout, ports, options, state);
  if (missing.size > 0) {
    const components = [...missing].map((name) => embeddedComponents[name]);
    // Before anything is downloaded or started: without a JDK none of it would be of use.
    if (components.some(({ jvm }) => jvm)) context.jdk();
    await provision(components, { ...options, jdk: context.jdk });
    await writeState(layout, {
      format: 1,
      engine: 'embedded',
      clusterId: context.clusterId,
      ports,
      cacheDir: options.cacheDir,
    });
  }
  const started = await startAll([...new Set([...wanted, ...missing])], context, options);
  return { ...(await embeddedStatus(layout, ports)), started };
}

/** The components and, transitively, what they need. */
function withNeeds(names: readonly ComponentName[]): ComponentName[] {
  const all = new Set<ComponentName>();
  const add = (name: ComponentName): void => {
    all.add(name);
    for (const needed of embeddedComponents[name].needs) add(needed);
  };
  for (const name of names) add(name);
  return componentNames.filter((name) => all.has(name));
}

/** Connect's configuration names the broker's and the registry's ports; it has to start again when they move. */
function connectMustFollow(state: EmbeddedState | undefined, ports: Ports): boolean {
  return state?.ports['kafka'] !== ports.kafka || state.ports['registry'] !== ports.registry;
}

async function runningComponents(layout: StackLayout): Promise<Set<ComponentName>> {
  const running = new Set<ComponentName>();
  for (const name of componentNames) {
    if ((await runningProcess(layout, name)) !== undefined) running.add(name);
  }
  return running;
}

function startContext(
  layout: StackLayout,
  ports: Ports,
  options: StackOptions,
  state: EmbeddedState | undefined,
): StartContext {
  let jdk: Jdk | undefined;
  return {
    layout,
    ports,
    endpoints: embeddedEndpoints(ports),
    clusterId: state?.clusterId ?? newClusterId(),
    cacheDir: options.cacheDir,
    jdk: () => {
      jdk ??= findJdk();
      return jdk;
    },
    home: (unit) => unitHome(options.cacheDir, unitOf(unit)),
    signal: options.signal,
  };
}

/** A random KRaft cluster id. A leading dash would be taken for an option of the format tool. */
function newClusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A');
}

/** All at once. When one fails, those that this call launched are stopped again. */
async function startAll(
  names: readonly ComponentName[],
  context: StartContext,
  options: StackOptions,
): Promise<boolean> {
  const before = await runningComponents(context.layout);
  const failed = new AbortController();
  const signals = [failed.signal, ...(options.signal === undefined ? [] : [options.signal])];
  const shared = { ...context, signal: AbortSignal.any(signals) };
  const errors: unknown[] = [];
  const launched = await Promise.all(
    names.map((name) =>
      startComponent(embeddedComponents[name], shared, options.onProgress).catch(
        (error: unknown) => {
          errors.push(error);
          failed.abort();
          return true;
        },
      ),
    ),
  );
  if (errors.length === 0) return launched.includes(true);
  const ours = names.filter((name) => !before.has(name));
  await stopComponents(context.layout, ours, options.onProgress);
  throw errors[0];
}

/** What runs, asked of each process and of each engine. */
export async function embeddedStatus(layout: StackLayout, ports: Ports): Promise<StackStatus> {
  const endpoints = embeddedEndpoints(ports);
  const components = await Promise.all(
    componentNames.map((name) => componentStatus(layout, name, endpoints)),
  );
  return { engine: 'embedded', endpoints, components };
}

async function componentStatus(
  layout: StackLayout,
  name: ComponentName,
  endpoints: StackEndpoints,
): Promise<ComponentStatus> {
  const identity = await runningProcess(layout, name);
  const healthy =
    identity !== undefined &&
    (await checkHealth(name, endpoints).then(
      () => true,
      () => false,
    ));
  return {
    name,
    version: embeddedComponents[name].version,
    endpoint: endpointText(name, endpoints),
    state: identity === undefined ? 'stopped' : healthy ? 'running' : 'unhealthy',
    pid: identity?.pid,
    rssBytes: identity && memoryBytes(identity.pid),
    startedInMs: identity && readReadiness(layout, name, identity)?.startedInMs,
  };
}

/** Do the processes of all engines live? Reads `/proc` only, so it is cheap enough for every command. */
export function allAlive(layout: StackLayout): boolean {
  return componentNames.every((name) => {
    const identity = readProcessNow(layout, name);
    return identity !== undefined && isAlive(identity);
  });
}

/** Remove the data, configuration and logs of a stopped stack; provisioned engines stay. */
export async function removeEmbeddedData(layout: StackLayout): Promise<void> {
  const postgres = dataDirFor(layout.dataDir('postgres'), postgresUser());
  await rm(postgres, { recursive: true, force: true });
  for (const name of stackSubdirectories) {
    await rm(join(layout.dir, name), { recursive: true, force: true });
  }
  await rm(layout.stateFile, { force: true });
}

/** Hold the directory for one operation at a time. */
export async function withStackLock<T>(
  options: Pick<StackOptions, 'dir' | 'onProgress' | 'signal'>,
  use: () => Promise<T>,
): Promise<T> {
  await mkdir(options.dir, { recursive: true });
  const lock = await acquireLock(options.dir, {
    signal: options.signal,
    onWait: (pid, waitedMs) =>
      options.onProgress({
        component: 'stack',
        phase: 'wait',
        status: 'working',
        message: `process ${pid ?? 'unknown'} is working on this stack; waiting for it`,
        elapsedMs: waitedMs,
      }),
  });
  try {
    return await use();
  } finally {
    await lock.release();
  }
}
