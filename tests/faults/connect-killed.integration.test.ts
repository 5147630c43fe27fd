import { afterAll, beforeAll, expect, it } from 'vitest';
import { killComponent, startComponent } from '../../compose/stack.ts';
import { connectConfigSchema } from '../../connectors/debezium/config.ts';
import { createConnectClient } from '../../connectors/debezium/connect-client.ts';
import type { DebeziumConnector } from '../../connectors/debezium/debezium-connector.ts';
import { createDebeziumConnector } from '../../connectors/debezium/debezium-connector.ts';
import { captureNames } from '../../connectors/debezium/names.ts';
import { CaptureFixture } from '../../connectors/debezium/testing/capture-fixture.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';

const TOPIC = 'cdc.public.contacts';
const ROWS = 60_000;
const TIMEOUT = 180_000;
const fixture = new CaptureFixture();
let stack: OwnStack;
let capture: DebeziumConnector | undefined;

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
  await capture?.remove().catch(() => undefined);
  await stack?.remove();
  await fixture.close();
}, TIMEOUT);

it('has every row once after Connect was killed in a snapshot, and what changed meanwhile', {
  timeout: TIMEOUT,
}, async () => {
  const { endpoints, dir } = stack;
  const { client, codec } = kafkaFixture({}, endpoints);
  const { namespace } = client.config;
  const connect = connectConfigSchema.parse({ url: endpoints.connect.url });
  const config = fixture.configOf({ tables: ['public.contacts'] });
  const deps = {
    ...fixture.environment(namespace),
    registryUrl: endpoints.registry.url,
    brokers: endpoints.kafka.brokers,
    connect,
    logger: testLogger,
  };
  capture = createDebeziumConnector(config, deps);
  const { connector } = captureNames(config, namespace);
  const keys = async () => {
    const raw: (Buffer | null)[] = [];
    await readTopic(client, { topic: TOPIC, onRecord: ({ key }) => void raw.push(key) }).catch(
      // Not there before the first record.
      () => undefined,
    );
    await codec.load(TOPIC, [], raw);
    return raw.map((key) => codec.decodeKey(TOPIC, key));
  };
  await capture.start();
  await eventually('a part of the snapshot', async () => (await keys()).length > 0);
  expect(await killComponent(dir, 'connect', 'SIGKILL')).toBe(true);
  const cut = (await keys()).length;
  expect(cut).toBeLessThan(ROWS);
  await fixture.source.query("INSERT INTO contacts (id, tenant_id) VALUES (0, 'acme')");
  await startComponent(dir, 'connect');
  const rest = createConnectClient(connect, testLogger);
  await eventually('the task runs', async () => {
    const state = await rest.status(connector);
    return state?.tasks[0]?.state === 'RUNNING';
  });
  await eventually('the last row', async () => (await keys()).includes('0'), 90_000);
  const seen = new Map<string, number>();
  for (const key of await keys()) seen.set(key, (seen.get(key) ?? 0) + 1);
  expect(seen.size).toBe(ROWS + 1);
});
