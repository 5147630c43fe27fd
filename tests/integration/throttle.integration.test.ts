import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SECRET, testConfig } from '../../connectors/webhook/fixtures.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import { followThrottles } from '../../connectors/webhook/throttles.ts';
import {
  createWebhookConnector,
  type WebhookConnector,
} from '../../connectors/webhook/webhook-connector.ts';
import { createAlertsPipeline } from '../../pipelines/alerts/topology.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { decodedTopic, eventually, testLogger } from '../support/kafka.ts';

const TIMEOUT = 180_000;
/** Long enough for what is tried while it lasts, on a machine that is busy; it is counted from the alert's event time. */
const SECONDS = 25;

let running: InProcess;
const connectors: WebhookConnector[] = [];

async function startConnector(): Promise<WebhookConnector> {
  const { client, codec, publisher } = running;
  const connector = createWebhookConnector(testConfig(), {
    publisher,
    openThrottles: () => followThrottles({ client, codec, logger: testLogger }),
    logger: testLogger,
  });
  connectors.push(connector);
  await connector.start();
  return connector;
}

beforeAll(async () => {
  const throttle = { eventsPerMinute: 0, seconds: SECONDS };
  running = await inProcess(createAlertsPipeline(throttle), { partitions: 2 });
  await running.engine.prepare();
  await running.engine.start();
  await running.engine.whenRunning();
}, TIMEOUT);

afterAll(async () => {
  await Promise.all(connectors.map((connector) => connector.stop()));
  await running?.close();
}, TIMEOUT);

let sent = 0;

/** A call of a tenant, of one entity of many: over all partitions. */
async function call(connector: WebhookConnector, tenant: string): Promise<Response> {
  sent += 1;
  const body = JSON.stringify({ id: `e-${sent}`, account: { tenant } });
  const deliveryId = `d-${sent}`;
  const signed = { secret: SECRET, deliveryId, eventType: 'e', timestampMs: Date.now(), body };
  const headers = { ...signHmac(signed), 'content-type': 'application/json' };
  return fetch(`${connector.url()}/webhooks/ingest/multi`, { method: 'POST', headers, body });
}

async function statusOf(connector: WebhookConnector, tenant: string): Promise<number> {
  const response = await call(connector, tenant);
  await response.arrayBuffer();
  return response.status;
}

it('a tenant that calls too often is throttled in all ingestors, a new one, too, and free when its time is over', {
  timeout: TIMEOUT,
}, async () => {
  const one = await startConnector();
  const two = await startConnector();
  const statuses = await Promise.all(
    Array.from({ length: 150 }, (_, n) => statusOf(n % 2 === 0 ? one : two, 'busy')),
  );
  expect(new Set(statuses)).toEqual(new Set([202]));
  // Others go on: event time with them.
  let calling = true;
  const others: number[] = [];
  const load = (async () => {
    while (calling) {
      others.push(await statusOf(one, `quiet-${sent % 40}`));
      await delay(100);
    }
  })();
  try {
    const throttled = () => decodedTopic(running.client, running.codec, 'tenant.throttled');
    await eventually('the throttle', async () => (await throttled()).length > 0);
    const [throttle] = await throttled();
    const [alert] = await decodedTopic(running.client, running.codec, 'alert.raised');
    expect(alert).toMatchObject({ pattern: 'suspicious_activity', tenant_id: 'busy' });
    expect(throttle).toMatchObject({ tenant_id: 'busy', alert_id: alert?.alert_id });
    for (const connector of [one, two])
      await eventually('429', async () => (await statusOf(connector, 'busy')) === 429);
    const refused = await call(two, 'busy');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({
      code: 'TENANT_THROTTLED',
      reason: alert?.summary,
      alert_id: alert?.alert_id,
    });
    const third = await startConnector();
    expect(await statusOf(third, 'busy')).toBe(429);
    expect(Date.now()).toBeLessThan(throttle?.until ?? 0);
    for (const connector of connectors)
      await eventually('202 again', async () => (await statusOf(connector, 'busy')) === 202);
    expect(Date.now()).toBeGreaterThanOrEqual(throttle?.until ?? 0);
  } finally {
    calling = false;
    await load;
  }
  expect(new Set(others)).toEqual(new Set([202]));
  expect(running.fatal).toEqual([]);
});
