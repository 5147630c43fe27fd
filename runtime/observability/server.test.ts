import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from './metrics.ts';
import {
  type ConnectorState,
  type ProcessReport,
  type ProcessStatus,
  processReportSchema,
  type SinkStatus,
  type TaskStatus,
} from './process-status.ts';
import { type ObservabilityServer, startObservabilityServer } from './server.ts';

const TASK: TaskStatus = {
  pipeline: 'events',
  subTopology: 'webhooks',
  partition: 0,
  state: 'running',
  inputs: [],
  restarts: 0,
};
const FAILED: TaskStatus = {
  ...TASK,
  partition: 1,
  state: 'failed',
  failure: { code: 'STEP_FAILED', message: 'step x threw' },
};
const AWAY: SinkStatus = {
  name: 'postgres',
  delivered: 1,
  deadLettered: 0,
  retries: 2,
  awaySince: Date.UTC(2026, 0, 1),
};
const WEBHOOK: ConnectorState = { name: 'webhook', state: 'running', detail: 'listening' };

interface Parts {
  phase?: ProcessReport['phase'];
  tasks?: TaskStatus[];
  sinks?: SinkStatus[];
  connectors?: ConnectorState[];
  worker?: number;
}

function statusOf({ phase = 'running', tasks, sinks, connectors, worker }: Parts): ProcessStatus {
  return {
    identity: {
      instance: 'i-1',
      pid: 1,
      host: 'h',
      namespace: '',
      version: '1',
      startedAt: 0,
      ...(worker === undefined ? {} : { worker }),
    },
    phase,
    tasks: () => tasks ?? [TASK],
    sinks: () => sinks ?? [],
    connectors: async () => connectors ?? [WEBHOOK],
  };
}

describe('the observability server', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  async function start(parts: Parts = {}, port = 0): Promise<ObservabilityServer> {
    const status = statusOf(parts);
    const metrics = createMetrics({ version: '1', process: false });
    metrics.watch(status);
    const server = await startObservabilityServer({
      config: { host: '127.0.0.1', port },
      status,
      metrics,
      logger: pino({ level: 'silent' }),
    });
    open.push(server);
    return server;
  }

  async function get(server: ObservabilityServer, path: string) {
    const response = await fetch(server.url + path);
    const body = (await response.json()) as { status: string; reasons?: string[] };
    return { code: response.status, body };
  }

  it.each<[string, Parts, [live: number, ready: number, startup: number], string]>([
    ['runs', {}, [200, 200, 200], 'ok'],
    ['starts', { phase: 'starting' }, [200, 503, 503], 'unavailable'],
    ['stops', { phase: 'stopping' }, [200, 503, 200], 'unavailable'],
    ['gave up', { phase: 'failed' }, [503, 503, 200], 'unavailable'],
    ['has a failed task', { tasks: [TASK, FAILED] }, [200, 200, 200], 'degraded'],
    ['has a store away', { sinks: [AWAY] }, [200, 200, 200], 'degraded'],
    [
      'has a connector that accepts nothing',
      { connectors: [{ ...WEBHOOK, state: 'failed' }] },
      [200, 503, 200],
      'unavailable',
    ],
    [
      'has a degraded connector',
      { connectors: [{ ...WEBHOOK, state: 'degraded' }] },
      [200, 200, 200],
      'degraded',
    ],
  ])('answers probes of a process that %s', async (_, parts, codes, ready) => {
    const server = await start(parts);
    const paths = ['/health/live', '/health/ready', '/health/startup'];
    const answers = await Promise.all(paths.map((path) => get(server, path)));
    expect(answers.map(({ code }) => code)).toEqual(codes);
    expect(answers[1]?.body.status).toBe(ready);
  });

  it('says what is wrong, part by part', async () => {
    const server = await start({ tasks: [TASK, FAILED], sinks: [AWAY] });
    const { body } = await get(server, '/health/ready');
    expect(body.reasons).toEqual([
      'task events.webhooks.1: failed: STEP_FAILED: step x threw',
      'sink postgres: its store is away since 2026-01-01T00:00:00.000Z',
    ]);
    expect(body).toHaveProperty('parts.length', 4);
  });

  it('answers /status as the schema says', async () => {
    const server = await start({ tasks: [FAILED], sinks: [AWAY], worker: 1 });
    const { code, body } = await get(server, '/status');
    expect(code).toBe(200);
    expect(processReportSchema.parse(body)).toEqual({
      process: {
        instance: 'i-1',
        pid: 1,
        host: 'h',
        namespace: '',
        version: '1',
        startedAt: 0,
        worker: 1,
      },
      phase: 'running',
      tasks: [FAILED],
      sinks: [AWAY],
      connectors: [WEBHOOK],
    });
  });

  it('answers /metrics in the text format', async () => {
    const server = await start();
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    expect(await response.text()).toContain('reachflow_task_state{pipeline="events"');
  });

  it('answers 404 and 405-like requests without failing', async () => {
    const server = await start();
    expect((await get(server, '/')).code).toBe(404);
    const posted = await fetch(`${server.url}/status`, { method: 'POST' });
    expect(posted.status).toBe(404);
  });

  it('answers 500 when a part cannot say how it is, and goes on', async () => {
    const status: ProcessStatus = {
      ...statusOf({}),
      tasks: () => {
        throw new Error('secret detail');
      },
    };
    const server = await startObservabilityServer({
      config: { host: '127.0.0.1', port: 0 },
      status,
      metrics: createMetrics({ version: '1', process: false }),
      logger: pino({ level: 'silent' }),
    });
    open.push(server);
    const response = await fetch(`${server.url}/status`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret detail');
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);
  });

  it('takes the next port when its own is taken, a worker the one of its number', async () => {
    const first = await start();
    const port = Number(new URL(first.url).port);
    const second = await start({}, port);
    const found = Number(new URL(second.url).port);
    expect(found).toBeGreaterThan(port);
    expect(found).toBeLessThanOrEqual(port + 64);
    const ofWorker = await start({ worker: 2 }, port);
    expect(Number(new URL(ofWorker.url).port)).toBeGreaterThanOrEqual(port + 2);
    expect((await get(second, '/health/live')).code).toBe(200);
  });

  it('says which setting to change when it cannot listen', async () => {
    const status = statusOf({});
    const starting = startObservabilityServer({
      config: { host: '192.0.2.1', port: 9 },
      status,
      metrics: createMetrics({ version: '1', process: false }),
      logger: pino({ level: 'silent' }),
    });
    await expect(starting).rejects.toMatchObject({
      code: 'OBSERVABILITY_LISTEN_FAILED',
      hint: expect.stringContaining('observability.host'),
    });
  });

  it('closes without waiting for kept connections', async () => {
    const server = await start();
    await get(server, '/health/live');
    const began = performance.now();
    await server.close();
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('does not disturb what has its port already', async () => {
    const other = createServer((_request, response) => response.end('other'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    open.push({ close: () => new Promise((resolve) => other.close(() => resolve())) });
    const { port } = other.address() as AddressInfo;
    await start({}, port);
    const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
    expect(await answer.text()).toBe('other');
  });
});
