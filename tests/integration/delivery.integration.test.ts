import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { readDlq } from '../../runtime/delivery/dlq-reader.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { SinkRunner, sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { ensureTopics, groupLag } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { dlqOf } from '../../schemas/topics.ts';
import type { Contact } from '../../schemas/types.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { startProxyTo, throughProxy } from '../support/tcp-proxy.ts';
import { testStack } from './stack.ts';

const { client, codec } = kafkaFixture();
const { postgres, registry } = testStack();
const schema = client.config.namespace;
const queue = dlqOf('contact.golden', 'postgres');

function contact(id: string, version: bigint): Contact {
  return {
    id,
    tenant_id: 't',
    full_name: `Contact ${id}`,
    email: `${id}@example.com`,
    phone: null,
    company_id: null,
    company: null,
    company_domain: null,
    industry: null,
    tags: [],
    score: null,
    created_at: 1,
    updated_at: 1,
    version,
  };
}

describe('delivery to a store, on the real engines', () => {
  let publisher: OwnedPublisher;
  let runner: SinkRunner;
  let proxy: Awaited<ReturnType<typeof startProxyTo>>;
  let db: pg.Client;

  beforeAll(async () => {
    proxy = await startProxyTo(postgres.url, 5432);
    const config = { url: throughProxy(postgres.url, proxy), schema };
    const sink = createPostgresSink(postgresConfigSchema.parse(config), { logger: testLogger });
    await ensureTopics(client, planTopics([], [sink], 2));
    publisher = await createPublisher(client, codec);
    runner = new SinkRunner({
      sink,
      config: deliveryConfigSchema.parse({
        retryInitialMs: 50,
        retryMaxMs: 200,
        maxWaitMs: 50,
        breaker: { openMs: 500 },
      }),
      client,
      codec,
      publisher,
      logger: testLogger,
      onFatal: (error) => expect.fail(error.message),
    });
    await runner.start();
    db = new pg.Client({ connectionString: postgres.url });
    await db.connect();
  }, 60_000);

  afterAll(async () => {
    await runner?.stop();
    await publisher?.close();
    await db?.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await db?.end();
    await proxy?.close();
  });

  const publish = (value: Contact) => publisher.publish('contact.golden', { key: value.id, value });
  const raw = (key: string, value: Buffer | null) =>
    publisher.publishRaw({ topic: 'contact.golden', key, value });
  const stored = async () => {
    const { rows } = await db.query<{ id: string }>(
      `SELECT id FROM "${schema}".contacts ORDER BY id`,
    );
    return rows.map(({ id }) => id);
  };
  const allRead = () =>
    eventually(
      'all read',
      async () => (await groupLag(client, sinkGroup('postgres'), 'contact.golden')) === 0,
    );
  async function deadLetters(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    await readDlq(client, queue, (letter) => void letters.push(letter));
    return letters;
  }

  it('dead-letters what cannot be read or written, byte for byte, and the next record flows', async () => {
    const other = '{"type":"record","name":"Contact","fields":[{"name":"id","type":"int"}]}';
    const otherId = await createSchemaRegistryClient(registry.url).register(
      `${schema}.other`,
      other,
    );
    const framed = (id: number) => {
      const bytes = Buffer.from([0, 0, 0, 0, 0, 2]);
      bytes.writeInt32BE(id, 1);
      return bytes;
    };
    await publish(contact('a', 1n));
    const broken = new Map<string, Buffer | null>([
      ['garbage', Buffer.from([0xff, 0x00, 0xfe])],
      ['incompatible', framed(otherId)],
      ['unknown schema', framed(2_000_000_000)],
      ['tombstone without a version', null],
    ]);
    for (const [key, value] of broken) await raw(key, value);
    await publish({ ...contact('nul', 1n), full_name: 'a\u0000b' });
    await publish(contact('b', 1n));
    await allRead();

    expect(await stored()).toEqual(['a', 'b']);
    const letters = await deadLetters();
    const byKey = new Map(letters.map((letter) => [String(letter.record.key), letter]));
    expect(byKey.size).toBe(letters.length);
    expect([...byKey.keys()].toSorted()).toEqual([...broken.keys(), 'nul'].toSorted());
    for (const [key, value] of broken) expect(byKey.get(key)?.record.value).toEqual(value);
    expect(byKey.get('incompatible')?.info).toMatchObject({
      code: 'UNDECODABLE',
      step: 'decode',
      topic: 'contact.golden',
      consumer: 'postgres',
      schemaId: String(otherId),
    });
    expect(byKey.get('tombstone without a version')?.info.code).toBe('VERSION_MISSING');
    expect(byKey.get('nul')?.info.step).toBe('write');
  });

  it('waits while the store is away: nothing goes to the DLQ, all arrives afterwards', async () => {
    const before = (await deadLetters()).length;
    await proxy.cut();
    await Promise.all(Array.from({ length: 200 }, (_, i) => publish(contact(`away-${i}`, 1n))));
    await eventually('the sink has noticed', () => runner.counts.retries >= 3);
    expect((await stored()).filter((id) => id.startsWith('away'))).toEqual([]);
    await proxy.restore();
    await allRead();
    expect((await stored()).filter((id) => id.startsWith('away'))).toHaveLength(200);
    expect((await deadLetters()).length).toBe(before);
  });
});
