import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../runtime/observability/metrics.ts';
import { parseMetrics, Watch } from './watch.ts';

const changes = { open: 0, 'half-open': 0, closed: 0 };
const counts = {
  ...{ delivered: 0, deadLettered: 0, retries: 0, recordRetries: 0, sickSince: 0 },
  breakerChanges: changes,
};

function worker() {
  const metrics = createMetrics({ version: '1' });
  metrics.delivery.sink('postgres', counts, () => ({
    ...{ breaker: 'closed', parkedKeys: 0, parkedRecords: 0 },
  }));
  return metrics.registry;
}

describe('the watch over the workers', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  it('reads what our own metrics say', async () => {
    Object.assign(changes, { open: 2, 'half-open': 3, closed: 1 });
    const { residentMiB, breakers } = parseMetrics(await worker().metrics());
    expect(residentMiB).toBeGreaterThan(1);
    expect(residentMiB).toBeLessThan(4_096);
    expect(breakers.get('postgres')).toEqual({ open: 2, 'half-open': 3, closed: 1 });
  });

  it('tells each change of a breaker once', async () => {
    Object.assign(changes, { open: 1, 'half-open': 0, closed: 0 });
    const registry = worker();
    server = createServer((_request, response) => {
      void registry.metrics().then((text) => response.end(text));
    });
    const listening = Promise.withResolvers<void>();
    server.listen(0, '127.0.0.1', listening.resolve);
    await listening.promise;
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const seen: string[] = [];
    const watch = new Watch({
      urls: () => [url],
      everyMs: 10,
      onBreaker: (sink, to, times) => seen.push(`${sink} ${to} ${times}`),
    });
    const looked = async (looks: number) => {
      while (watch.looks < looks) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    watch.start();
    await looked(2);
    Object.assign(changes, { 'half-open': 1, closed: 1 });
    await looked(watch.looks + 2);
    await watch.stop();
    expect(seen).toEqual(['postgres open 1', 'postgres half-open 1', 'postgres closed 1']);
    expect(watch.peakMiB).toBeGreaterThan(1);
  });
});
