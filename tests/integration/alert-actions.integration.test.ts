import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { alertsPipeline } from '../../pipelines/alerts/topology.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { dlqOf } from '../../schemas/topics.ts';
import type { AlertRaised } from '../../schemas/types.ts';
import { alertActions, createAlertSink } from '../../sinks/alerts/actions.ts';
import { alertsConfigSchema } from '../../sinks/alerts/config.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { eventually, testLogger } from '../support/kafka.ts';

const TIMEOUT = 120_000;
const ALERTS = 12;

/** A receiver of alerts that can be down: what it gets, by alert id, in order. */
class Receiver {
  readonly got: string[] = [];
  down = false;
  /** Alerts that it does not take for what is in them. */
  readonly refuses = new Set<string>();
  readonly #server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const { dedup_key, data } = JSON.parse(body) as { dedup_key?: string; data?: AlertRaised };
      const id = dedup_key ?? data?.alert_id ?? '';
      if (this.down) response.writeHead(503).end('not now');
      else if (this.refuses.has(id)) response.writeHead(400).end('not this one');
      else {
        this.got.push(id);
        response.writeHead(202).end('{}');
      }
    });
  });

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const pager = new Receiver();
const hook = new Receiver();
let running: InProcess;

beforeAll(async () => {
  const { actions } = alertsConfigSchema.parse({
    actions: {
      pagerduty: { routingKey: 'R0', url: await pager.start() },
      webhook: { url: await hook.start() },
    },
  });
  const deps = { logger: testLogger, parts: ['alerts'] as const };
  const sinks = alertActions.flatMap((action) => createAlertSink(action, actions, deps) ?? []);
  running = await inProcess(alertsPipeline, { partitions: 2, sinks });
  await running.engine.prepare();
  await running.engine.start();
}, TIMEOUT);

afterAll(async () => {
  await running?.close();
  pager.stop();
  hook.stop();
}, TIMEOUT);

const idOf = (n: number) => `suspicious_activity:tenant-${n}:1`;

async function raise(n: number): Promise<void> {
  const tenant = `tenant-${n}`;
  const value: AlertRaised = {
    alert_id: idOf(n),
    pattern: 'suspicious_activity',
    severity: 'critical',
    tenant_id: tenant,
    subject: tenant,
    started_at: Date.now() - 60_000,
    raised_at: Date.now(),
    count: 100,
    summary: `Tenant ${tenant} had 100 API calls in 50 s.`,
  };
  await running.publisher.publish('alert.raised', { key: tenant, value });
}

it('each action gets each alert: one that is away holds no other up, and has them when it is back', {
  timeout: TIMEOUT,
}, async () => {
  const ids = Array.from({ length: ALERTS }, (_, n) => idOf(n));
  pager.down = true;
  hook.refuses.add(idOf(3));
  for (let n = 0; n < ALERTS; n += 1) await raise(n);
  await eventually('all by webhook', () => hook.got.length >= ALERTS - 1);
  expect(pager.got).toEqual([]);
  pager.down = false;
  await eventually('all by pager', () => pager.got.length >= ALERTS);
  expect([...pager.got].sort()).toEqual([...ids].sort());
  expect([...hook.got].sort()).toEqual(ids.filter((id) => id !== idOf(3)).sort());
  const letters: string[] = [];
  const topic = dlqOf('alert.raised', 'alert-webhook');
  await eventually('the dead letter', async () => {
    letters.length = 0;
    await readTopic(running.client, {
      topic,
      onRecord: ({ key }) => void letters.push(String(key)),
    });
    return letters.length > 0;
  });
  expect(letters).toEqual(['tenant-3']);
  expect(running.fatal).toEqual([]);
});
