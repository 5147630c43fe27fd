import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { contact } from '../../runtime/testing/samples.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { Contact, ContactEnriched, EnrichmentCompleted } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { inProcess } from '../../tests/support/in-process.ts';
import { decodedTopic, eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { enrichmentConfigSchema } from './config.ts';
import { type LocalProvider, startLocalProvider } from './providers/local/server.ts';
import { providerKinds } from './providers/provider.ts';
import { createEnrichmentPipeline } from './topology.ts';

const TIMEOUT = 240_000;
const PARTITIONS = 2;
const CONTACTS = 400;
const DOMAINS = 40;
const KEY = 'a key of the test';

let provider: LocalProvider;
let client: KafkaClient;
let codec: TopicCodec;
let publisher: OwnedPublisher;
const workers: ReachflowProcess[] = [];

beforeAll(async () => {
  provider = await startLocalProvider({ key: KEY });
  ({ client, codec } = kafkaFixture({ partitions: PARTITIONS }));
  const pipeline = createEnrichmentPipeline(enrichmentConfigSchema.parse({}));
  await ensureTopics(client, planTopics([pipeline], [], PARTITIONS));
  publisher = await createPublisher(client, codec);
}, TIMEOUT);

afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
  await publisher?.close();
  await provider?.close();
}, TIMEOUT);

function contactOf(n: number, changes: Partial<Contact> = {}): Contact {
  const domain = `company${n % DOMAINS}.example`;
  return contact({
    id: String(n),
    tenant_id: `tenant-${n % 3}`,
    full_name: `Person ${n}`,
    email: `person${n}@${domain}`,
    created_at: 0,
    updated_at: 0,
    ...changes,
  });
}

async function publish(contacts: readonly Contact[]): Promise<void> {
  await Promise.all(
    contacts.map((value) => publisher.publish('contact.golden', { key: value.id, value })),
  );
}

/** The pipeline as a user runs it, with no state on the disk. */
async function startWorker(): Promise<ReachflowProcess> {
  const { kafka, registry } = testStack();
  const worker = new ReachflowProcess(
    {
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_KAFKA_PARTITIONS: String(PARTITIONS),
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_PIPELINES_OPTIONAL: JSON.stringify(['enrichment']),
      ...Object.fromEntries(
        providerKinds.flatMap((kind) => {
          const section = `REACHFLOW_ENRICHMENT_${kind.toUpperCase()}`;
          return [
            [`${section}_URL`, `${provider.url}/${kind}`],
            [`${section}_KEY`, KEY],
            [`${section}_TIMEOUT_MS`, '15000'],
          ];
        }),
      ),
      REACHFLOW_ENRICHMENT_ATTEMPTS_BACKOFF_MS: '20',
      REACHFLOW_ENRICHMENT_ASK_AGAIN_AFTER_MS: '1000',
      REACHFLOW_ENRICHMENT_ASK_AGAIN_TIMES: '10',
      REACHFLOW_ENRICHMENT_ASK_AGAIN_MAX_AFTER_MS: '2000',
      REACHFLOW_ENRICHMENT_BREAKER_OPEN_MS: '500',
    },
    ['--only', 'enrichment'],
  );
  workers.push(worker);
  await worker.ready();
  return worker;
}

const enriched = () => decodedTopic(client, codec, 'contact.enriched');
const completed = () => decodedTopic(client, codec, 'enrichment.completed');
const timesAsked = (): Map<string, number> =>
  new Map(
    providerKinds.flatMap((kind) =>
      Object.entries(provider.stats(kind).subjects).map(([s, n]) => [`${kind} ${s}`, n] as const),
    ),
  );

/** Answers that have committed: to ask for one of them again would be a second call. */
async function journaled(): Promise<Set<string>> {
  const records = await decodedTopic(client, codec, 'enrichment.answered');
  return new Set(
    records.flatMap(({ answers }) => answers.map((a) => `${a.provider} ${a.subject}`)),
  );
}

async function untilEnriched(what: string, ids: readonly string[]): Promise<void> {
  await eventually(
    what,
    async () => {
      const found = new Set((await enriched()).map(({ id }) => id));
      return ids.every((id) => found.has(id));
    },
    TIMEOUT / 2,
  );
}

/** Each contact and provider, as often as it came to an outcome. */
function counted(events: readonly EnrichmentCompleted[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { contact_id, provider: kind } of events) {
    const key = `${contact_id} ${kind}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

describe('on a real broker', () => {
  const all = Array.from({ length: CONTACTS }, (_, n) => contactOf(n));

  it('enriches each contact once, by a slow provider and workers that are killed', {
    timeout: TIMEOUT,
  }, async () => {
    provider.behave('all', { delayMs: 300 });
    // So that no contact is done when the worker is killed.
    provider.behave('verification', { delayMs: 'never' });
    const first = await startWorker();
    await publish(all);
    await eventually('some answers', async () => (await journaled()).size > 20, TIMEOUT / 2);
    await first.end('SIGKILL');
    const before = await journaled();
    const asked = timesAsked();
    provider.behave('verification', { delayMs: 300 });
    await startWorker();
    await untilEnriched(
      'all contacts',
      all.map(({ id }) => id),
    );
    const after = timesAsked();
    for (const subject of before)
      expect(after.get(subject), `${subject} was journaled`).toBe(asked.get(subject));
    expect((await enriched()).map(({ id }) => id).sort()).toEqual(all.map(({ id }) => id).sort());
    const events = counted(await completed());
    expect([events.size, Math.max(...events.values())]).toEqual([3 * CONTACTS, 1]);
    expect(provider.stats('person').largestBatch).toBeGreaterThan(1);
  });

  it('asks nobody when the requests come again, to a worker that restores its state', {
    timeout: TIMEOUT,
  }, async () => {
    await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
    const asked = timesAsked();
    const [records, events] = [await enriched(), await completed()];
    for (const value of await decodedTopic(client, codec, 'enrichment.requested'))
      await publisher.publish('enrichment.requested', { key: value.contact_id, value });
    await startWorker();
    const marker = contactOf(CONTACTS, { email: 'marker@marker.example' });
    const markers = [
      marker,
      contactOf(CONTACTS + 1),
      contactOf(CONTACTS + 2),
      contactOf(CONTACTS + 3),
    ];
    await publish(markers);
    await untilEnriched(
      'those behind them',
      markers.map(({ id }) => id),
    );
    const after = timesAsked();
    for (const [subject, times] of asked) expect(after.get(subject), subject).toBe(times);
    expect((await enriched()).length).toBe(records.length + markers.length);
    expect((await completed()).length).toBe(events.length + 3 * markers.length);
  });

  it('goes on without a provider that is down or wrong, and catches up once it is well', {
    timeout: TIMEOUT,
  }, async () => {
    provider.behave('all', {});
    provider.behave('company', { status: 503 });
    provider.behave('person', { garbage: 'results' });
    const ids = ['1001', '1002', '1003'];
    await publish(ids.map((id) => contactOf(Number(id), { email: `p${id}@down${id}.example` })));
    await untilEnriched('contacts without', ids);
    const newest = async () => {
      const last = new Map((await enriched()).map((record) => [record.id, record]));
      return ids.flatMap((id) => last.get(id) ?? []);
    };
    const said = (records: readonly ContactEnriched[], kind: string) =>
      records.map(({ providers }) => providers.find((says) => says.provider === kind));
    const without = await newest();
    for (const says of said(without, 'company'))
      expect(says).toMatchObject({ outcome: 'failed', answered_at: null });
    for (const says of said(without, 'person'))
      expect(says).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('fit') });
    for (const says of said(without, 'verification')) expect(says?.outcome).not.toBe('failed');
    provider.behave('all', {});
    await eventually(
      'answers of all',
      async () => (await newest()).every(({ providers }) => providers.every(isAnswered)),
      TIMEOUT / 2,
    );
  });

  it('is replayed from the journal: the same records, and nobody is called', {
    timeout: TIMEOUT,
  }, async () => {
    const live = new Map((await enriched()).map((record) => [record.id, record]));
    const asked = timesAsked();
    const urls = Object.fromEntries(
      providerKinds.map((kind) => [kind, { url: `${provider.url}/${kind}`, key: KEY }]),
    );
    const config = enrichmentConfigSchema.parse({ journal: 'read', ...urls });
    const replay = await inProcess(createEnrichmentPipeline(config), { partitions: PARTITIONS });
    try {
      await replay.engine.prepare();
      for (const value of await decodedTopic(client, codec, 'enrichment.answered'))
        await replay.publisher.publish('enrichment.answered', { key: value.contact_id, value });
      for (const value of await decodedTopic(client, codec, 'contact.golden'))
        await replay.publisher.publish('contact.golden', { key: value.id, value });
      await replay.engine.start();
      const records = () => decodedTopic(replay.client, replay.codec, 'contact.enriched');
      await eventually('all of them', async () => (await records()).length >= live.size);
      const replayed = await records();
      expect(replayed.length).toBe(live.size);
      for (const { enriched_at: _, version: __, ...record } of replayed)
        expect(live.get(record.id)).toMatchObject(record);
      expect(timesAsked()).toEqual(asked);
    } finally {
      await replay.close();
    }
  });
});

function isAnswered({ outcome }: ContactEnriched['providers'][number]): boolean {
  return outcome !== 'failed';
}
