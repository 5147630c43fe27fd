import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { observabilityConfigSchema } from '../../runtime/observability/config.ts';
import { processReportSchema } from '../../runtime/observability/process-status.ts';
import { workersConfigSchema } from './config.ts';
import { runSupervisor } from './run-supervisor.ts';
import type { WorkerEvents } from './supervisor.ts';

describe('a supervisor, seen from outside', () => {
  it('answers probes and shows its workers from start to end', async () => {
    const workers = new Map<number, WorkerEvents>();
    const asked = Promise.withResolvers<string>();
    const listening = Promise.withResolvers<string>();
    const told = Promise.withResolvers<number | undefined>();
    const logger = pino(
      {},
      {
        write: (line: string) => {
          const { url } = JSON.parse(line) as { url?: string };
          if (url !== undefined) listening.resolve(url);
        },
      },
    );
    let pids = 100;
    const done = runSupervisor({
      count: 2,
      config: {
        workers: workersConfigSchema.parse({ restartInitialMs: 1 }),
        observability: observabilityConfigSchema.parse({ port: 0 }),
        kafka: { namespace: 'ns' },
      },
      logger,
      until: asked.promise,
      workers: (port) => {
        told.resolve(port);
        return (worker, events) => {
          workers.set(worker, events);
          pids += 1;
          return { pid: pids, signal: () => events.onExit({ code: 0, signal: null }) };
        };
      },
    });
    const url = await listening.promise;
    expect(await told.promise, 'its workers tell `reachflow status` where it is').toBe(
      Number(new URL(url).port),
    );
    const probe = async (path: string) => (await fetch(`${url}/health/${path}`)).status;
    const report = async () =>
      processReportSchema.parse(await (await fetch(`${url}/status`)).json());

    expect([await probe('startup'), await probe('ready'), await probe('live')]).toEqual([
      503, 503, 200,
    ]);
    workers.get(1)?.onMessage({ type: 'ready' });
    expect(await probe('ready'), 'not before all were ready once').toBe(503);
    workers.get(2)?.onMessage({ type: 'ready' });
    expect([await probe('startup'), await probe('ready')]).toEqual([200, 200]);
    expect(await report()).toMatchObject({ process: { namespace: 'ns' }, phase: 'running' });

    workers.get(2)?.onExit({ code: null, signal: 'SIGKILL' });
    expect(await probe('ready'), 'the other worker takes requests').toBe(200);
    const ready = await (await fetch(`${url}/health/ready`)).json();
    expect(ready).toMatchObject({ status: 'degraded' });
    await expect
      .poll(async () => (await report()).workers)
      .toEqual([
        { worker: 1, phase: 'ready', pid: 101, restarts: 0 },
        { worker: 2, phase: 'starting', pid: 103, restarts: 1 },
      ]);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain(
      'reachflow_worker_restarts_total{worker="2"} 1',
    );
    workers.get(1)?.onExit({ code: 1, signal: null });
    expect(await probe('ready'), 'no worker is ready').toBe(503);

    asked.resolve('test');
    await done;
    await expect(fetch(url)).rejects.toThrow();
  });
});
