import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureTopics } from '../runtime/kafka/admin.ts';
import { createPublisher } from '../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import {
  type PartitionConsumer,
  startPartitionConsumer,
} from '../runtime/kafka/partition-consumer.ts';
import { observabilityConfigSchema } from '../runtime/observability/config.ts';
import {
  NO_PARTS,
  type Observability,
  startObservability,
} from '../runtime/observability/observability.ts';
import { announce, type TaskStatus } from '../runtime/observability/process-status.ts';
import { readStatus } from '../runtime/observability/status-data.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import { eventually, kafkaFixture } from '../tests/support/kafka.ts';
import { isRunning, statusView } from './status-view.ts';

const GROUPS = [
  { group: 'events.webhooks', topics: ['webhook.received'] },
  { group: 'sink.clickhouse', topics: ['event.recorded', 'metric.tenant.count'] },
];

const TASK: TaskStatus = {
  pipeline: 'events',
  subTopology: 'webhooks',
  partition: 1,
  state: 'running',
  inputs: [],
  restarts: 0,
  stateEntries: 77,
};

describe('reachflow status', () => {
  let client: KafkaClient;
  let codec: TopicCodec;
  const open: (() => Promise<unknown>)[] = [];
  beforeEach(() => {
    ({ client, codec } = kafkaFixture());
  });
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });

  function topic(name: string) {
    return {
      name,
      partitions: 2,
      cleanup: 'delete' as const,
      retentionMs: -1,
      maxMessageBytes: 1_000_000,
    };
  }

  /** A member of a group that commits what it reads. */
  async function member(group: string, topics: readonly string[], clientId: string) {
    let consumer: PartitionConsumer | undefined;
    const { client: own } = kafkaFixture({ clientId, namespace: client.config.namespace });
    consumer = await startPartitionConsumer(own, {
      group,
      topics,
      handler: {
        onAssigned: async () => undefined,
        onBatch: ({ nextOffset }, control) => control.commit(nextOffset),
        onNothing: async () => undefined,
      },
      minBytes: 1,
      maxWaitMs: 100,
      concurrency: 1,
      onFatal: (error) => {
        throw error;
      },
    });
    open.push(() => consumer.stop());
    return consumer;
  }

  async function observed(namespace: string, supervisorPort?: number): Promise<Observability> {
    const started = await startObservability({
      config: observabilityConfigSchema.parse({ port: 0 }),
      namespace,
      supervisorPort,
      version: '1.2.3',
      logger: pino({ level: 'silent' }),
    });
    started.process.phase = 'running';
    started.process.show({
      tasks: () => [TASK],
      sinks: () => [],
      connectors: async () => [],
    });
    open.push(() => started.close());
    return started;
  }

  async function publish(count: number): Promise<void> {
    await codec.register(['webhook.received']);
    const publisher = await createPublisher(client, codec);
    for (let i = 0; i < count; i += 1) {
      const value = {
        event_id: `s:${i}`,
        tenant_id: 't',
        source: 's',
        event_type: 'e',
        delivery_id: String(i),
        entity_id: String(i),
        occurred_at: 1,
        received_at: 1,
        payload: '{}',
      };
      await publisher.publish('webhook.received', { key: `k${i}`, value });
    }
    await publisher.close();
  }

  it('says that nothing runs, before there are topics and after', async () => {
    const none = await readStatus({ client, groups: GROUPS, workers: [] });
    expect(isRunning(none)).toBe(false);
    expect(statusView(none)).toContain('there are no topics yet');
    await ensureTopics(client, [topic('webhook.received')]);
    await publish(5);
    const idle = await readStatus({ client, groups: GROUPS, workers: [] });
    const [group] = idle.groups;
    expect(group?.tasks.map(({ state }) => state)).toEqual(['unassigned', 'unassigned']);
    expect(group?.tasks.reduce((sum, { lag }) => sum + lag, 0)).toBe(5);
  });

  it('shows owners, positions and lag from the brokers, and the rest from the process', async () => {
    const names = [...new Set(GROUPS.flatMap(({ topics }) => topics))];
    await ensureTopics(client, names.map(topic));
    const { url = '' } = await observed(client.config.namespace);
    const consumer = await member('events.webhooks', ['webhook.received'], announce('rf', url));
    await publish(10);
    await eventually('all committed', async () => {
      const { groups } = await readStatus({ client, groups: GROUPS, workers: [] });
      const tasks = groups[0]?.tasks ?? [];
      return tasks.reduce((sum, { inputs }) => sum + (inputs[0]?.committed ?? 0), 0) === 10;
    });
    consumer.pause('webhook.received', 0);
    consumer.pause('webhook.received', 1);
    await publish(7);
    const data = await readStatus({ client, groups: GROUPS, workers: [] });
    expect(data.unreachable).toEqual([]);
    expect(data.processes).toMatchObject([{ url, version: '1.2.3', phase: 'running' }]);
    const [events, sink] = data.groups;
    expect(events?.state).toBe('Stable');
    expect(events?.tasks).toHaveLength(2);
    for (const { owner } of events?.tasks ?? []) {
      expect(owner).toEqual({ clientId: announce('rf', url), host: '127.0.0.1' });
    }
    expect(events?.tasks.map(({ state }) => state)).toEqual(['assigned', 'running']);
    expect(events?.tasks[1]?.task?.stateEntries).toBe(77);
    expect(sink?.tasks).toHaveLength(4);
    expect(sink?.tasks.every(({ state }) => state === 'unassigned')).toBe(true);
    expect(statusView(data, true)).toContain('webhook.received');
  });

  it('says of a sink whether its store takes what it has', async () => {
    const names = [...new Set(GROUPS.flatMap(({ topics }) => topics))];
    await ensureTopics(client, names.map(topic));
    const { url = '', process } = await observed(client.config.namespace);
    const sink = { name: 'clickhouse', delivered: 1, deadLettered: 0, retries: 0 };
    let awaySince: number | undefined;
    process.show({
      ...NO_PARTS,
      sinks: () => [awaySince === undefined ? sink : { ...sink, awaySince }],
    });
    await member('sink.clickhouse', ['event.recorded', 'metric.tenant.count'], announce('rf', url));
    const states = async () => {
      const { groups } = await readStatus({ client, groups: GROUPS, workers: [] });
      return new Set(groups[1]?.tasks.map(({ state }) => state));
    };
    expect(await states()).toEqual(new Set(['running']));
    awaySince = Date.now();
    expect(await states()).toEqual(new Set(['away']));
  });

  it('does not take the process of another installation for one of this', async () => {
    await ensureTopics(client, [topic('webhook.received')]);
    const { url = '' } = await observed('another');
    await member('events.webhooks', ['webhook.received'], announce('rf', url));
    const data = await readStatus({ client, groups: GROUPS, workers: [] });
    expect(data.processes).toEqual([]);
    expect(data.groups[0]?.tasks.some(({ task }) => task !== undefined)).toBe(false);
  });

  it('finds a supervisor through its worker, or where it would be on this host, once', async () => {
    await ensureTopics(client, [topic('webhook.received')]);
    const supervisor = await observed(client.config.namespace);
    const workers = [{ worker: 1, phase: 'ready' as const, restarts: 2 }];
    supervisor.process.show({ ...NO_PARTS, workers: () => workers });
    const { url: local = '' } = supervisor;
    const source = { client, groups: GROUPS, workers: [] };
    const alone = await readStatus({ ...source, local });
    expect(alone.processes).toMatchObject([{ url: local, workers }]);
    const worker = await observed(client.config.namespace, Number(new URL(local).port));
    await member('events.webhooks', ['webhook.received'], announce('rf', worker.url ?? ''));
    for (const asked of [source, { ...source, local }, { ...source, workers: [local] }]) {
      const { processes, unreachable } = await readStatus(asked);
      expect(new Set(processes.map(({ url }) => url))).toEqual(new Set([local, worker.url]));
      expect(processes).toHaveLength(2);
      expect(unreachable).toEqual([]);
    }
    await supervisor.close();
    expect((await readStatus({ ...source, local })).unreachable).toEqual([local]);
    await worker.close();
    const none = await readStatus({ ...source, local: 'http://127.0.0.1:1' });
    expect(none.unreachable, 'that nothing answers there is no news').toEqual([worker.url]);
  });

  it('names processes that do not answer, and shows what the brokers know', async () => {
    await ensureTopics(client, [topic('webhook.received')]);
    await member('events.webhooks', ['webhook.received'], 'rf@1');
    const data = await readStatus({ client, groups: GROUPS, workers: ['http://127.0.0.1:2'] });
    expect(data.unreachable.toSorted()).toEqual(['http://127.0.0.1:1', 'http://127.0.0.1:2']);
    expect(isRunning(data)).toBe(true);
  });

  it('says that the brokers are away', async () => {
    const { client: away } = kafkaFixture({ brokers: ['127.0.0.1:1'] });
    const reading = readStatus({ client: away, groups: GROUPS, workers: [] });
    await expect(reading).rejects.toMatchObject({ code: 'KAFKA_UNAVAILABLE', retry: 'backoff' });
  });
});
