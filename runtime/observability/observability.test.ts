import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { newTaskCounters, stepCounters } from '../task/counters.ts';
import { type ObservabilityConfig, observabilityConfigSchema } from './config.ts';
import { type Observability, startObservability } from './observability.ts';
import { announce, announcedUrl, processReportSchema, type TaskStatus } from './process-status.ts';
import { taskStatusOf } from './task-status.ts';

/** What an OTLP collector was sent. */
async function collector() {
  const requests: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8') });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { requests, url: `http://127.0.0.1:${port}/v1/traces`, close };
}

describe('startObservability', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  async function start(config: Partial<ObservabilityConfig> = {}): Promise<Observability> {
    const started = await startObservability({
      config: observabilityConfigSchema.parse({ port: 0, ...config }),
      namespace: 'ns',
      worker: 3,
      version: '1.2.3',
      logger: pino({ level: 'silent' }),
    });
    open.push(started);
    return started;
  }

  it('shows a process from its start to its end, and its parts once they are there', async () => {
    const { process: observed, url = '', metrics } = await start();
    const ready = async () => (await fetch(`${url}/health/ready`)).status;
    expect(await ready()).toBe(503);
    const task: TaskStatus = {
      pipeline: 'p',
      subTopology: 's',
      partition: 0,
      state: 'running',
      inputs: [],
      restarts: 0,
    };
    observed.show({ tasks: () => [task], sinks: () => [], connectors: async () => [] });
    observed.phase = 'running';
    expect(await ready()).toBe(200);
    const report = processReportSchema.parse(await (await fetch(`${url}/status`)).json());
    expect(report).toMatchObject({
      process: { namespace: 'ns', worker: 3, version: '1.2.3', pid: process.pid },
      tasks: [task],
    });
    expect(await metrics.registry.metrics()).toContain('state="running"} 1');
    observed.phase = 'stopping';
    expect(await ready()).toBe(503);
  });

  it('listens on nothing when it is not enabled, and counts all the same', async () => {
    const { url, metrics } = await start({ enabled: false });
    expect(url).toBeUndefined();
    expect(await metrics.registry.metrics()).toContain('reachflow_build_info');
  });

  it('sends traces to a collector, as this service, with its authorization', async () => {
    const otlp = await collector();
    open.push(otlp);
    const { tracing, close } = await start({
      tracesUrl: otlp.url,
      tracesAuthorization: 'Bearer hunter2',
      tracesSampleRatio: 1,
      serviceName: 'contacts',
    });
    tracing.batch('epoch p.s', { 'reachflow.partition': 4 }).end();
    await close();
    expect(otlp.requests).toHaveLength(1);
    const [request] = otlp.requests;
    expect(request?.headers.authorization).toBe('Bearer hunter2');
    expect(request?.body).toContain('"epoch p.s"');
    expect(request?.body).toContain('"contacts"');
    expect(request?.body).toContain('"reachflow.partition"');
  });
});

describe('taskStatusOf', () => {
  const slot = {
    partition: 2,
    life: 'running' as const,
    restarts: 1,
    failure: undefined,
    restore: undefined,
    ends: new Map([['in', 100n]]),
    task: undefined,
    kept: undefined,
  };

  it('is complete for a task that is not open yet', () => {
    const status = taskStatusOf('p', 's', slot);
    expect(status).toEqual({
      pipeline: 'p',
      subTopology: 's',
      partition: 2,
      state: 'running',
      restarts: 1,
      inputs: [{ topic: 'in', partition: 2, end: 100 }],
    });
  });

  it('has position, lag, state, checkpoint and failure', () => {
    const stores = [
      { name: 'a', entries: 2, bytes: 10 },
      { name: 'b', entries: 3, bytes: 20 },
    ];
    const state = { stats: () => ({ stores }) } as never;
    const committedPositions = new Map([['in', 60n]]);
    const newest = { at: 9_000, bytes: 50, durationMs: 8 };
    const counters = newTaskCounters();
    stepCounters(counters, 'plain').in = 7;
    stepCounters(counters, 'ask').async = { inFlight: 2, breaker: 'open' };
    stepCounters(counters, 'tell').async = { inFlight: 0, breaker: undefined };
    const status = taskStatusOf('p', 's', {
      ...slot,
      life: 'failed',
      failure: new ReachflowError('m', { code: 'X', domain: 'user', hint: 'h' }),
      restore: { partition: 2, records: 1, bytes: 1, done: 5, total: 10 },
      task: { committedPositions, watermark: 7_000, state, counters },
      kept: { checkpoints: () => ({ newest, failures: 4 }) },
    });
    expect(processReportSchema.shape.tasks.element.parse(status)).toMatchObject({
      state: 'failed',
      inputs: [{ topic: 'in', position: 60, end: 100, lag: 40 }],
      watermark: 7_000,
      stateEntries: 5,
      stateBytes: 30,
      restore: { done: 5, total: 10 },
      checkpoint: { at: 9_000, bytes: 50, durationMs: 8 },
      checkpointFailures: 4,
      asyncSteps: [
        { step: 'ask', inFlight: 2, breaker: 'open' },
        { step: 'tell', inFlight: 0 },
      ],
      failure: { code: 'X', message: 'm', hint: 'h' },
    });
  });

  it('has no watermark before the first record', () => {
    const state = { stats: () => ({ stores: [] }) } as never;
    const counters = newTaskCounters();
    const watermark = Number.NEGATIVE_INFINITY;
    const task = { committedPositions: new Map(), watermark, state, counters };
    const status = taskStatusOf('p', 's', { ...slot, task });
    expect(status).not.toHaveProperty('watermark');
    expect(status, 'it has no such steps').not.toHaveProperty('asyncSteps');
    expect(() => JSON.stringify(status)).not.toThrow();
  });
});

describe('announced addresses', () => {
  it.each([
    ['127.0.0.1', 'http://127.0.0.1:9464'],
    ['::1', 'http://[::1]:9464'],
  ])('are the port in the client id, on the host that the broker sees: %s', (host, url) => {
    expect(announcedUrl(announce('reachflow', 'http://127.0.0.1:9464'), host)).toBe(url);
  });

  it('are none where there is none', () => {
    expect(announcedUrl('reachflow', '127.0.0.1')).toBeUndefined();
    expect(announcedUrl('ops@example', '127.0.0.1')).toBeUndefined();
    expect(announcedUrl('reachflow@9464', '')).toBeUndefined();
  });
});
