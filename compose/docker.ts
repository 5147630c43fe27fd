import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { errorCode, ReachflowError } from '../runtime/errors.ts';
import { composeDir } from './embedded/layout.ts';
import { aborted } from './embedded/lock.ts';
import { embeddedVersions } from './embedded/versions.ts';
import type { StackEndpoints } from './endpoints.ts';
import { checkHealth } from './health.ts';
import {
  type ComponentName,
  type ComponentStatus,
  componentNames,
  endpointText,
  type RunningStack,
  type StackEvent,
  type StackOptions,
  type StackStatus,
} from './types.ts';

const composeFile = join(composeDir, 'docker-compose.yml');

/** The port that each service listens on inside its container. */
const containerPorts: Readonly<Record<ComponentName, number>> = {
  kafka: 9092,
  registry: 8080,
  connect: 8083,
  postgres: 5432,
  clickhouse: 8123,
  elasticsearch: 9200,
};

/** Where the Connect worker, in its container, finds what other processes find at the endpoints. */
export const dockerWorkerUrls = {
  database: 'postgres://app:app@postgres:5432/app',
  registry: 'http://registry:8080/apis/ccompat/v7',
  brokers: ['kafka:19092'],
} as const;

const serviceList = z.array(
  z.object({
    Service: z.string(),
    State: z.string(),
    Publishers: z
      .array(z.object({ TargetPort: z.number(), PublishedPort: z.number() }))
      .nullish()
      .transform((list) => list ?? []),
  }),
);
type Service = z.infer<typeof serviceList>[number];

/**
 * `docker compose up -d --wait` on `docker-compose.yml`, then the endpoints as published.
 * @throws ReachflowError `DOCKER_NOT_FOUND`, `DOCKER_UNAVAILABLE` (no engine answers), `DOCKER_FAILED`.
 */
export async function upDocker(options: StackOptions): Promise<RunningStack> {
  await assertDocker();
  const before = await services();
  const began = Date.now();
  const report = (status: StackEvent['status'], message: string): void =>
    options.onProgress({
      component: 'stack',
      phase: 'start',
      status,
      message,
      elapsedMs: Date.now() - began,
    });
  report('working', 'docker compose up (pulls and builds images the first time)');
  await compose(['up', '--detach', '--wait', '--quiet-pull'], {
    signal: options.signal,
    onLine: (line) => report('working', line.trim()),
  });
  const after = await services();
  const endpoints = endpointsOf(after);
  await requireCompatibility(endpoints.registry.url);
  report('done', 'healthy');
  const running = (list: readonly Service[]): number =>
    list.filter((service) => service.State === 'running').length;
  return { ...(await dockerStatus(endpoints)), started: running(before) < running(after) };
}

/** `docker compose down`: containers and network go, volumes stay. Returns what was running. */
export async function downDocker(
  onProgress: (event: StackEvent) => void,
): Promise<ComponentName[]> {
  await assertDocker();
  const running = (await services())
    .filter((service) => service.State === 'running')
    .map((service) => service.Service);
  await removeContainers([], onProgress);
  return componentNames.filter((name) => running.includes(name));
}

/** As `downDocker`, and the volumes go too. */
export async function resetDocker(onProgress: (event: StackEvent) => void): Promise<void> {
  await assertDocker();
  await removeContainers(['--volumes'], onProgress);
}

async function removeContainers(
  options: readonly string[],
  onProgress: (event: StackEvent) => void,
): Promise<void> {
  const began = Date.now();
  const report = (status: StackEvent['status'], message: string): void =>
    onProgress({
      component: 'stack',
      phase: 'stop',
      status,
      message,
      elapsedMs: Date.now() - began,
    });
  report('working', 'docker compose down');
  await compose(['down', ...options], { onLine: (line) => report('working', line.trim()) });
  report('done', 'stopped');
}

/** Which services answer. Docker knows their memory; `docker stats` shows it. */
export async function dockerStatus(endpoints: StackEndpoints): Promise<StackStatus> {
  const status = async (name: ComponentName): Promise<ComponentStatus> => ({
    name,
    version: embeddedVersions[name],
    endpoint: endpointText(name, endpoints),
    state: await checkHealth(name, endpoints).then(
      () => 'running' as const,
      () => 'stopped' as const,
    ),
    pid: undefined,
    rssBytes: undefined,
    startedInMs: undefined,
  });
  const components = await Promise.all(componentNames.map(status));
  return { engine: 'docker', endpoints, components };
}

/** `docker compose logs` of one service. */
export async function* dockerLogs(
  component: ComponentName,
  options: { readonly lines: number; readonly follow: boolean; readonly signal?: AbortSignal },
): AsyncGenerator<string> {
  await assertDocker();
  const child = spawn(
    'docker',
    [
      ...['compose', '--file', composeFile, 'logs', '--no-log-prefix'],
      ...['--tail', String(options.lines), ...(options.follow ? ['--follow'] : []), component],
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
  );
  child.on('error', () => undefined); // The signal ended it: the lines simply stop.
  yield* createInterface(child.stdout);
}

/** The endpoints of running services, from the ports that Docker published. */
export function endpointsOf(list: readonly Service[]): StackEndpoints {
  const port = (name: ComponentName): number => {
    const service = list.find((one) => one.Service === name);
    const published = service?.Publishers.find((one) => one.TargetPort === containerPorts[name]);
    if (published !== undefined && published.PublishedPort > 0) return published.PublishedPort;
    throw new ReachflowError(`Docker does not publish the port of ${name}`, {
      code: 'DOCKER_FAILED',
      domain: 'external',
      hint: `See \`docker compose --file ${composeFile} ps\`.`,
    });
  };
  const http = (name: ComponentName): string => `http://127.0.0.1:${port(name)}`;
  return {
    kafka: { brokers: [`127.0.0.1:${port('kafka')}`] },
    registry: { url: `${http('registry')}/apis/ccompat/v7` },
    connect: { url: http('connect') },
    postgres: { url: `postgres://app:app@127.0.0.1:${port('postgres')}/app` },
    clickhouse: {
      url: http('clickhouse'),
      username: 'reachflow',
      password: 'reachflow',
      database: 'reachflow',
    },
    elasticsearch: { url: http('elasticsearch') },
  };
}

/** `docker compose ps --format json` prints one object a line, or (before 2.21) one array. */
export function parseServices(text: string): Service[] {
  const trimmed = text.trim();
  const values: unknown = trimmed.startsWith('[')
    ? JSON.parse(trimmed)
    : trimmed
        .split('\n')
        .filter((line) => line !== '')
        .map((line): unknown => JSON.parse(line));
  return serviceList.parse(values);
}

async function services(): Promise<Service[]> {
  return parseServices(await compose(['ps', '--all', '--format', 'json']));
}

/** A new registry accepts any change; a rule that somebody has set stays. */
async function requireCompatibility(registryUrl: string): Promise<void> {
  const url = `${registryUrl}/config`;
  const current: unknown = await (await fetch(url)).json();
  const isNone =
    typeof current === 'object' &&
    current !== null &&
    'compatibilityLevel' in current &&
    current.compatibilityLevel === 'NONE';
  if (!isNone) return;
  await fetch(url, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
  });
}

const NOT_FOUND = 127;

async function assertDocker(): Promise<void> {
  const info = await docker(['info', '--format', '{{.ServerVersion}}']);
  const plugin = info.exitCode === NOT_FOUND ? info : await docker(['compose', 'version']);
  if (info.exitCode !== 0 && info.exitCode !== NOT_FOUND) {
    throw new ReachflowError('Docker is installed, but no Docker engine answers.', {
      code: 'DOCKER_UNAVAILABLE',
      domain: 'external',
      retry: 'backoff',
      hint:
        'Start Docker, or check DOCKER_HOST and your permission to use it; without Docker: ' +
        `\`reachflow stack up --engine embedded\`. Docker says: ${info.errors.trim().split('\n')[0]}`,
    });
  }
  if (plugin.exitCode === 0) return;
  throw new ReachflowError('Docker with the Compose plugin (2.20 or newer) is missing.', {
    code: 'DOCKER_NOT_FOUND',
    domain: 'user',
    hint:
      'Install Docker Desktop, or `apt install docker.io docker-compose-v2`; without Docker: ' +
      '`reachflow stack up --engine embedded`.',
  });
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onLine?: (line: string) => void;
}

async function compose(args: readonly string[], options: CallOptions = {}): Promise<string> {
  const call = ['compose', '--file', composeFile, ...args];
  const result = await docker(call, options);
  if (options.signal?.aborted === true) throw aborted();
  if (result.exitCode === 0) return result.output;
  throw new ReachflowError(
    `docker compose ${args[0]} failed (exit ${result.exitCode}):\n${result.errors.trim().split('\n').slice(-15).join('\n')}`,
    {
      code: 'DOCKER_FAILED',
      domain: 'external',
      retry: 'backoff',
      hint: `See \`docker compose --file ${composeFile} logs\`.`,
    },
  );
}

async function docker(
  args: readonly string[],
  options: CallOptions = {},
): Promise<{ exitCode: number; output: string; errors: string }> {
  const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
  });
  // Compose reports its progress on standard error.
  createInterface(child.stderr).on('line', (line) => {
    errors += `${line}\n`;
    options.onLine?.(line);
  });
  const stop = (): void => {
    child.kill('SIGINT');
  };
  options.signal?.addEventListener('abort', stop, { once: true });
  const exitCode = await new Promise<number>((resolve) => {
    child.once('error', (error) => resolve(errorCode(error) === 'ENOENT' ? NOT_FOUND : 1));
    child.once('close', (code) => resolve(code ?? 1));
  });
  options.signal?.removeEventListener('abort', stop);
  return { exitCode, output, errors };
}
