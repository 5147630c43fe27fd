import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { SinkRunner } from '../../runtime/delivery/sink-runner.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { Contact } from '../../schemas/types.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { testStack } from './stack.ts';

interface Received {
  readonly method: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server that takes alerts. It refuses the first, as one that is starting does. */
async function receiver() {
  const received: Received[] = [];
  let refused = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, headers } = request;
      if (refused === 0) refused += 1;
      else received.push({ method, headers, body: Buffer.concat(chunks).toString() });
      response.statusCode = received.length === 0 ? 503 : 200;
      response.end('ok');
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return { received, url, refused: () => refused, close: () => server.close() };
}

/** @param name what the store takes; one with NUL no Postgres takes as text. */
function contact(id: string, name: string): Contact {
  return {
    ...{
      id,
      tenant_id: 't',
      full_name: name,
      email: 'z@example.com',
      phone: null,
      tags: [],
      score: null,
    },
    ...{ company_id: null, company: null, company_domain: null, industry: null },
    ...{ created_at: 1, updated_at: 1, version: 1n },
  };
}

describe('the alert hook, on the real engines', () => {
  const open: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close();
  });

  /** A running sink with defaults, and the receiver of its alerts. */
  async function start(format: 'json' | 'slack') {
    const { client, codec } = kafkaFixture();
    const { url } = testStack().postgres;
    const schema = client.config.namespace;
    const hook = await receiver();
    open.push(hook.close);
    const db = new pg.Client({ connectionString: url });
    await db.connect();
    open.push(async () => {
      await db.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
      await db.end();
    });
    const sink = createPostgresSink(postgresConfigSchema.parse({ url, schema }), {
      logger: testLogger,
    });
    await ensureTopics(client, planTopics([], [sink], 2));
    const publisher = await createPublisher(client, codec);
    open.push(() => publisher.close());
    const runner = new SinkRunner({
      ...{ sink, client, codec, publisher, logger: testLogger },
      config: deliveryConfigSchema.parse({ alert: { url: hook.url, format } }),
      onFatal: (error) => expect.fail(error.message),
    });
    await runner.start();
    open.push(() => runner.stop());
    let sent = 0;
    const send = async (records: number, isPoison: (n: number) => boolean) => {
      const values = Array.from({ length: records }, (_, n) =>
        contact(`c${sent + n}`, isPoison(n) ? 'a\u0000b' : 'Zoe'),
      );
      sent += records;
      await Promise.all(
        values.map((value) => publisher.publish('contact.golden', { key: value.id, value })),
      );
      const { counts } = runner;
      const done = () => counts.delivered + counts.deadLettered === sent;
      await eventually(`${sent} are delivered or dead letters`, done);
    };
    return { hook, runner, send };
  }

  it('says nothing at 1 %, fires at 5 % of a minute and resolves below, as JSON', async () => {
    const { hook, runner, send } = await start('json');
    await send(500, (n) => n % 100 === 0);
    expect(hook.refused()).toBe(0);
    await send(500, (n) => n % 10 === 0);
    await eventually('the alert arrives, at its second attempt', () => hook.received.length === 1);
    await send(2_000, () => false);
    await eventually('the end of it arrives', () => hook.received.length === 2);
    expect(hook.refused()).toBe(1);
    expect(runner.counts).toMatchObject({ delivered: 2_945, deadLettered: 55, retries: 0 });

    const [firing, resolved] = hook.received.map(({ method, headers, body }) => {
      expect(method).toBe('POST');
      expect(headers['content-type']).toBe('application/json');
      return JSON.parse(body) as Record<string, unknown>;
    });
    const about = { alert: 'sink-rejects', sink: 'postgres', since: firing?.['since'] };
    expect(firing).toMatchObject({ ...about, state: 'firing' });
    expect(new Date(String(about.since)).toISOString()).toBe(about.since);
    const { records, rejected } = firing ?? {};
    expect(Number(rejected) / Number(records)).toBeGreaterThanOrEqual(0.05);
    expect(resolved).toMatchObject({ ...about, state: 'resolved' });
    expect(Number(resolved?.['rejected']) / Number(resolved?.['records'])).toBeLessThan(0.05);
  });

  it('is a text with figures for Slack', async () => {
    const { hook, send } = await start('slack');
    await send(200, (n) => n % 4 === 0);
    await eventually('the alert arrives', () => hook.received.length === 1);
    const message = JSON.parse(hook.received[0]?.body ?? '') as Record<string, unknown>;
    expect(Object.keys(message)).toEqual(['text']);
    expect(message['text']).toMatch(/sink \*postgres\* rejects \d+ of \d+ records/);
  });
});
