import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testStack } from '../../tests/integration/stack.ts';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { OLD_SECRET, SECRET } from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';

const WORKERS = 2;

let directory: string;
let running: ReachflowProcess | undefined;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reachflow-rotation-'));
});
afterEach(async () => {
  await running?.end('SIGKILL');
  await rm(directory, { recursive: true });
});

let count = 0;
async function post(url: string, secret: string): Promise<number> {
  count += 1;
  const body = '{"id":1}';
  const signing = { deliveryId: `d-${count}`, eventType: 'e', timestampMs: Date.now() };
  const response = await fetch(`${url}/webhooks/ingest/shop`, {
    method: 'POST',
    // A connection of its own each time: they go to the workers in turn.
    headers: { ...signHmac({ secret, body, ...signing }), connection: 'close' },
    body,
  });
  await response.arrayBuffer();
  return response.status;
}

/** What several times as many requests as there are workers are answered with. */
async function statuses(url: string, secret: string): Promise<Set<number>> {
  const found = new Set<number>();
  for (let i = 0; i < WORKERS * 4; i += 1) found.add(await post(url, secret));
  return found;
}

describe('reachflow run --workers, with secrets in a file', { timeout: 180_000 }, () => {
  it('takes up a new secret in all workers on SIGHUP, and keeps them', async () => {
    const path = join(directory, 'secrets');
    await writeFile(path, OLD_SECRET);
    const { client } = kafkaFixture();
    const { kafka, registry } = testStack();
    running = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
        REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_OBSERVABILITY_PORT: '0',
        REACHFLOW_WEBHOOK_PORT: '0',
        REACHFLOW_WEBHOOK_SECRETS_RELOAD_MS: '600000',
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({
          shop: { scheme: 'hmac', tenant: 'acme', secretsFile: path },
        }),
      },
      ['--only', 'webhook', '--workers', String(WORKERS)],
    );
    const { webhookUrl: url = '' } = await running.ready();
    const before = running.workers.map(({ pid }) => pid);
    expect(await statuses(url, OLD_SECRET)).toEqual(new Set([202]));
    expect(await statuses(url, SECRET)).toEqual(new Set([401]));
    await writeFile(`${path}.new`, SECRET);
    await rename(`${path}.new`, path);
    process.kill(running.pid, 'SIGHUP');
    await eventually('all workers know the new secret', async () => {
      const found = await statuses(url, SECRET);
      return found.size === 1 && found.has(202);
    });
    expect(await statuses(url, OLD_SECRET)).toEqual(new Set([401]));
    expect(running.workers.map(({ pid }) => pid)).toEqual(before);
  });
});
