import { afterAll, beforeAll, expect, it } from 'vitest';
import { killComponent, startComponent } from '../../compose/stack.ts';
import { Capture } from '../../connectors/debezium/capture.ts';
import { connectConfigSchema } from '../../connectors/debezium/config.ts';
import {
  createDebeziumConnector,
  type DebeziumConnector,
} from '../../connectors/debezium/debezium-connector.ts';
import { requestSnapshot } from '../../connectors/debezium/signals.ts';
import { CaptureFixture } from '../../connectors/debezium/testing/capture-fixture.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import { followTopic, type TopicFollower } from '../../runtime/kafka/reader.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';

const TOPIC = 'cdc.public.contacts';
const ROWS = 20_000;
const TIMEOUT = 180_000;
const fixture = new CaptureFixture();
let stack: OwnStack;
let capture: DebeziumConnector | undefined;
let follower: TopicFollower | undefined;

/** A worker of this test, which it may kill; the database is the run's. */
beforeAll(async () => {
  await fixture.open();
  await fixture.source.query(
    "INSERT INTO contacts (id, tenant_id, full_name) SELECT g, 'acme', repeat('x', 100) FROM generate_series(1, $1) g",
    [ROWS],
  );
  stack = await startOwnStack('connect-killed', ['kafka', 'registry', 'connect']);
}, TIMEOUT);
afterAll(async () => {
  await follower?.stop();
  await capture?.remove().catch(() => undefined);
  await stack?.remove();
  await fixture.close();
}, TIMEOUT);

it('has every row once after Connect was killed in an incremental snapshot, and what changed meanwhile', {
  timeout: TIMEOUT,
}, async () => {
  const { endpoints, dir } = stack;
  const { client } = kafkaFixture({}, endpoints);
  const deps = {
    ...fixture.environment(client.config.namespace),
    registryUrl: endpoints.registry.url,
    brokers: endpoints.kafka.brokers,
    connect: connectConfigSchema.parse({ url: endpoints.connect.url }),
    logger: testLogger,
  };
  // Small polls, so that the kill is in the middle of them.
  const config = fixture.configOf({
    tables: ['public.contacts'],
    maxBatchSize: 256,
    snapshotMode: 'no_data',
    snapshotChunkRows: 512,
  });
  capture = createDebeziumConnector(config, deps);
  await capture.start();
  const { source } = new Capture({ source: '', config }, deps);
  await requestSnapshot(source, config, ['public.contacts']);
  await eventually('the topic', async () => (await topicPartitions(client)).has(TOPIC));
  const seen = new Map<string, number>();
  let total = 0;
  follower = await followTopic(client, {
    topic: TOPIC,
    onRecord({ key }) {
      const id = key?.toString('hex') ?? '';
      seen.set(id, (seen.get(id) ?? 0) + 1);
      total += 1;
    },
  });
  await eventually('a part of the snapshot', () => total > 2_000);
  expect(await killComponent(dir, 'connect', 'SIGKILL')).toBe(true);
  expect(total).toBeLessThan(ROWS);
  await fixture.source.query("INSERT INTO contacts (id, tenant_id) VALUES (0, 'acme')");
  await startComponent(dir, 'connect');
  await eventually('every row', () => seen.size === ROWS + 1, 120_000);
  // A record that comes twice would come behind the others, or has come before them.
  await fixture.source.query("INSERT INTO contacts (id, tenant_id) VALUES (-1, 'acme')");
  await eventually('a fresh row', () => seen.size === ROWS + 2);
  expect(total).toBe(ROWS + 2);
});
