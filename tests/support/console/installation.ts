import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { loadAppConfig } from '../../../cli/config.ts';
import { consoleOf } from '../../../cli/console.ts';
import { signHmac } from '../../../connectors/webhook/schemes/hmac.ts';
import type { Console } from '../../../console/console.ts';
import { dlqOf } from '../../../schemas/topics.ts';
import { testStack } from '../../integration/stack.ts';
import { eventually, kafkaFixture, testLogger } from '../kafka.ts';
import { writeLetters } from '../letters.ts';
import { ReachflowProcess } from '../reachflow-process.ts';

export const OPERATOR = 'operator-token-0123456789abcdef';
export const ACME = 'acme-token-0123456789abcdef';
export const TENANTS = ['acme', 'globex'] as const;
const SECRET = randomBytes(24).toString('hex');
const TOPIC = 'webhook.received';

/** A product that runs on the real engines, in a namespace and database of its own, with a console beside it. */
export interface Installation {
  readonly page: Console;
  readonly url: string;
  /** Sends one webhook, and waits until it is accepted. @returns the event's id. */
  send(tenant: string): Promise<string>;
  /** Writes letters of good webhooks, as if the pipeline had given up on them, one of each tenant. @returns their event ids. */
  letters(): Promise<readonly string[]>;
  /** Rows of a query in the product's own database. */
  rows<T>(sql: string): Promise<T[]>;
  close(): Promise<void>;
}

/** Starts it, with some events of each tenant in ClickHouse. */
export async function startInstallation(): Promise<Installation> {
  const stack = testStack();
  const { client, codec } = kafkaFixture();
  const { namespace } = client.config;
  const database = `console_${namespace}`;
  const { url, username, password } = stack.clickhouse;
  const store = createClient({ url, username, password });
  const state = mkdtempSync(join(tmpdir(), 'reachflow-console-'));
  const env = {
    REACHFLOW_KAFKA_BROKERS: stack.kafka.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: namespace,
    REACHFLOW_REGISTRY_URL: stack.registry.url,
    REACHFLOW_CLICKHOUSE_URL: url,
    REACHFLOW_CLICKHOUSE_USERNAME: username,
    REACHFLOW_CLICKHOUSE_PASSWORD: password,
    REACHFLOW_CLICKHOUSE_DATABASE: database,
    REACHFLOW_CLICKHOUSE_FLUSH_MS: '200',
    REACHFLOW_OBSERVABILITY_PORT: '0',
    REACHFLOW_WEBHOOK_PORT: '0',
    REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({
      shop: { scheme: 'hmac', secrets: [SECRET], tenant: 'shop', tenantPointer: '/tenant' },
    }),
    REACHFLOW_CONSOLE_PORT: '0',
    REACHFLOW_CONSOLE_REFRESH_MS: '200',
    REACHFLOW_CONSOLE_STATUS_MS: '500',
    REACHFLOW_CONSOLE_QUERY_SHARE: '4',
    REACHFLOW_CONSOLE_VIEWERS: JSON.stringify({
      ops: { tokens: [OPERATOR], tenants: '*', role: 'operator' },
      acme: { tokens: [ACME], tenants: ['acme'] },
    }),
  };
  const product = new ReachflowProcess(env, ['--only', 'webhook,events,clickhouse']);
  const { config } = await loadAppConfig({ env, cwd: state });
  const page = consoleOf(config, testLogger);
  let sent = 0;
  // Of records that are in no topic: behind all that are.
  let letterOffset = 1_000;
  const rows = async <T>(query: string): Promise<T[]> => {
    const answered = await store.query({
      ...{ query, format: 'JSONEachRow' },
      clickhouse_settings: { database, output_format_json_quote_64bit_integers: 0 },
    });
    return answered.json<T>();
  };
  const close = async () => {
    await page.stop();
    await product.end('SIGKILL');
    await store.command({ query: `DROP DATABASE IF EXISTS ${database} SYNC` });
    await store.close();
    rmSync(state, { recursive: true, force: true });
  };
  try {
    const { webhookUrl = '' } = await product.ready();
    await page.start();
    const send = async (tenant: string): Promise<string> => {
      sent += 1;
      const deliveryId = `console-${namespace}-${sent}`;
      const body = JSON.stringify({ tenant, id: `order-${sent}` });
      const signing = { secret: SECRET, deliveryId, timestampMs: Date.now(), body };
      const headers = signHmac({ ...signing, eventType: 'order.created' });
      for (let attempt = 1; ; attempt += 1) {
        const address = `${webhookUrl}/webhooks/ingest/shop`;
        const { status } = await fetch(address, { method: 'POST', headers, body });
        if (status === 202) return `shop:${deliveryId}`;
        if (attempt === 50) throw new Error(`a webhook was refused with ${status}`);
        await delay(100);
      }
    };
    const letters = async () => {
      await codec.register([TOPIC]);
      const at = Date.now();
      const values = TENANTS.map((tenant) => {
        const id = `${tenant}-letter-${letterOffset}`;
        const event = { event_id: `shop:${id}`, tenant_id: tenant, source: 'webhook:shop' };
        const more = { event_type: 'order.paid', delivery_id: id, entity_id: id };
        const payload = '{"total":12}';
        return codec.encode(TOPIC, {
          ...event,
          ...more,
          occurred_at: at,
          received_at: at,
          payload,
        });
      });
      const specs = TENANTS.map((tenant, partition) => ({
        ...{ partition, offset: letterOffset, key: `${tenant}:letter` },
        ...{ step: 'validate-webhook', timestamp: at },
      }));
      letterOffset += 1;
      const bytesOf = ({ partition }: { readonly partition: number }) =>
        values[partition] ?? Buffer.alloc(0);
      await writeLetters(client, TOPIC, 'events', specs, bytesOf);
      return TENANTS.map((tenant) => `shop:${tenant}-letter-${letterOffset - 1}`);
    };
    for (const tenant of TENANTS) for (let n = 0; n < 5; n += 1) await send(tenant);
    await eventually('events are in ClickHouse', async () => {
      const [found] = await rows<{ events: number }>('SELECT count() AS events FROM events');
      const [counted] = await rows<{ events: number }>(
        'SELECT sum(count) AS events FROM tenant_counts FINAL',
      );
      return found?.events === 10 && counted?.events === 10;
    });
    return { page, url: page.url() ?? '', send, letters, rows, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The queue that `letters` writes to. */
export const LETTER_QUEUE = dlqOf(TOPIC, 'events');
