import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { pipelines } from '../../pipelines/catalog.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import { sinkConfigSections } from '../../sinks/registry.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { traceMermaid } from './mermaid.ts';
import type { Trace } from './model.ts';
import { traceRecord } from './trace.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const { client, codec } = kafkaFixture();
const { namespace } = client.config;
let worker: ReachflowProcess | undefined;
afterAll(() => worker?.end('SIGTERM'));

function environment(): Record<string, string> {
  const { kafka, registry, clickhouse, elasticsearch } = testStack();
  return {
    REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: namespace,
    REACHFLOW_REGISTRY_URL: registry.url,
    REACHFLOW_CLICKHOUSE_URL: clickhouse.url,
    REACHFLOW_CLICKHOUSE_USERNAME: clickhouse.username,
    REACHFLOW_CLICKHOUSE_PASSWORD: clickhouse.password,
    REACHFLOW_CLICKHOUSE_DATABASE: namespace,
    REACHFLOW_CLICKHOUSE_FLUSH_MS: '200',
    REACHFLOW_ELASTICSEARCH_URL: elasticsearch.url,
    REACHFLOW_ELASTICSEARCH_INDEX_PREFIX: `${namespace}-`,
  };
}

/** The command as a user runs it. */
async function reachflow(...args: string[]): Promise<string> {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, NO_COLOR: '1', ...environment() };
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, ...args], { env });
  return stdout;
}

function trace(query: string): Promise<Trace> {
  const { clickhouse, elasticsearch, postgres } = testStack();
  const stores = {
    alerts: sinkConfigSections.alerts.parse({}),
    postgres: sinkConfigSections.postgres.parse(postgres),
    clickhouse: sinkConfigSections.clickhouse.parse({ ...clickhouse, database: namespace }),
    elasticsearch: sinkConfigSections.elasticsearch.parse({
      ...elasticsearch,
      indexPrefix: `${namespace}-`,
    }),
  };
  const deps = { client, codec, topologies: pipelines, stores };
  return traceRecord(deps, { query, since: Date.now() - 3_600_000 });
}

function webhook(id: string, payload: string): WebhookReceived {
  const at = Date.now();
  const same = { event_id: id, delivery_id: id, entity_id: `entity-${id}`, payload };
  return {
    ...same,
    tenant_id: 'acme',
    source: 's',
    event_type: 'e',
    occurred_at: at,
    received_at: at,
  };
}

const PATCH = `
import type { Patch } from '${new URL('../../cli/dlq/patch.ts', import.meta.url).pathname}';
const mend: Patch<'webhook.received'> = ({ value }) => (value == null ? undefined : { ...value, payload: '{}' });
export default mend;
`;

/** Topics of the visits, in the order of the tree, each with what it was made from. */
function ways({ visits }: Trace): Record<string, string | undefined> {
  return Object.fromEntries(
    visits.map(({ topic, from }) => [
      topic,
      from && `${from.by} ${from.visit.split('[')[0]} ${from.steps.join(' ')}`,
    ]),
  );
}

describe('the trace of a webhook', () => {
  it('leads from its topic to state and stores', async () => {
    worker = new ReachflowProcess(environment(), ['--only', 'events,clickhouse,elasticsearch']);
    await worker.ready();
    const publisher = await createPublisher(client, codec);
    for (const [id, payload] of [
      ['evt-good', '{}'],
      ['evt-mend', 'no json'],
    ] as const) {
      const value = webhook(id, payload);
      await publisher.publish('webhook.received', { key: `acme:entity-${id}`, value });
    }
    await publisher.close();
    let found: Trace | undefined;
    await eventually('it is in both stores', async () => {
      found = await trace('evt-good');
      return found.stores.length === 2 && found.stores.every((store) => store.found);
    });
    if (found === undefined) throw new Error('no trace was made');
    expect(ways(found)).toEqual({
      'webhook.received': undefined,
      'event.recorded': expect.stringContaining('id webhook.received validate-webhook'),
    });
    const recorded = found.visits.find(({ topic }) => topic === 'event.recorded');
    const row = found.stores.find(({ store }) => store === 'clickhouse');
    expect(row?.position).toBe(`${recorded?.partition}@${recorded?.offset}`);
    expect(found.states.map(({ store, change }) => `${store} ${change}`)).toContainEqual(
      expect.stringMatching(/^seen.* set$/),
    );
    expect(traceMermaid(found)).toContain('event.recorded');
    // By its key it is found without a look into other partitions.
    const byKey = await trace('acme:entity-evt-good');
    expect(byKey.visits.map(({ id }) => id)).toEqual(found.visits.map(({ id }) => id));
  });

  it('leads into the DLQ, and out of it again', async () => {
    await eventually('it is a dead letter', async () => {
      return (await trace('evt-mend')).visits.some(({ kind }) => kind === 'dead letter');
    });
    const file = join(mkdtempSync(join(tmpdir(), 'reachflow-trace-')), 'mend.ts');
    writeFileSync(file, PATCH);
    await reachflow('dlq', 'redrive', '--consumer', 'events', '--patch', file, '--yes');
    let found: Trace | undefined;
    await eventually('it is recorded', async () => {
      found = await trace('evt-mend');
      return found.visits.some(({ topic }) => topic === 'event.recorded');
    });
    if (found === undefined) throw new Error('no trace was made');
    expect(ways(found)).toMatchObject({
      'webhook.received.events.dlq': expect.stringContaining('headers webhook.received'),
      'webhook.received.events.retry': expect.stringContaining('headers webhook.received'),
    });
    const letter = found.visits.find(({ kind }) => kind === 'dead letter');
    expect(letter?.failure).toMatchObject({ consumer: 'events', resolution: 'redriven' });
    const printed = await reachflow('trace', 'evt-mend', '--since', '1h', '--no-stores');
    expect(printed).toContain('webhook.received.events.dlq');
    expect(printed).toContain('redriven');
  });
});
