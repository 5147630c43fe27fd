import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { contact, event } from '../../runtime/testing/samples.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { ContactScored } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { modelToPublish } from './model/scoring-model.ts';
import { leadModel, smallModel } from './testing/models.ts';
import { featuresOf, recomputed } from './testing/recompute.ts';
import { scoringPipeline } from './topology.ts';

const TIMEOUT = 180_000;
const PEOPLE = 120;
const PARTITIONS = 2;
const START = Date.now() - 3_600_000;
const TYPES = ['user.login', 'api.called', 'email.sent', 'email.opened', 'email.clicked'] as const;

const second = smallModel([
  { feature: 'login_count', from: 3, adds: 1.5 },
  { feature: 'clicks', from: 2, adds: -0.5 },
]);

let client: KafkaClient;
let codec: TopicCodec;
let publisher: OwnedPublisher;
const running: ReachflowProcess[] = [];

beforeAll(async () => {
  ({ client, codec } = kafkaFixture({ partitions: PARTITIONS }));
  await ensureTopics(client, planTopics([scoringPipeline], [], PARTITIONS));
  publisher = await createPublisher(client, codec);
}, TIMEOUT);

afterAll(async () => {
  for (const worker of running) await worker.end('SIGKILL');
  await publisher?.close();
}, TIMEOUT);

async function startWorker(): Promise<ReachflowProcess> {
  const { kafka, registry } = testStack();
  const worker = new ReachflowProcess(
    {
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_KAFKA_PARTITIONS: String(PARTITIONS),
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_OBSERVABILITY_PORT: '0',
      REACHFLOW_STACK_ENGINE: 'external',
      REACHFLOW_PIPELINES_OPTIONAL: 'scoring',
    },
    ['--only', 'scoring'],
  );
  running.push(worker);
  await worker.ready();
  return worker;
}

const counts = new Map<string, Map<string, number>>();
let sent = 0;

/** Events of all contacts in turn, as the pipeline events records them, and what they come to. */
async function act(events: number): Promise<void> {
  const published = Array.from({ length: events }, () => {
    sent += 1;
    const id = String(sent % PEOPLE);
    const type = TYPES[(sent * 7) % TYPES.length] ?? '';
    const types = counts.get(id) ?? new Map<string, number>();
    counts.set(id, types.set(type, (types.get(type) ?? 0) + 1));
    const value = event({
      event_id: String(sent),
      event_type: type,
      entity_id: id,
      occurred_at: START + sent,
      received_at: START + sent,
    });
    return publisher.publish('event.recorded', { key: `t:${id}`, value, timestamp: START + sent });
  });
  await Promise.all(published);
}

function publishModel(file: string, at: number) {
  const value = modelToPublish('lead', file, at);
  return publisher.publish('scoring.model', { key: 'lead', value });
}

const scored = () => decodedTopic(client, codec, 'contact.scored');

function lastOf(scores: readonly ContactScored[]): ReadonlyMap<string, ContactScored> {
  return new Map(scores.map((score) => [score.contact_id, score]));
}

it('scores what happens, exactly once, while models are swapped and refused and a worker is killed', {
  timeout: TIMEOUT,
}, async () => {
  const people = Array.from({ length: PEOPLE }, (_, n) => String(n));
  for (const id of people)
    await publisher.publish('contact.golden', { key: id, value: contact({ id }) });
  const versions = new Map(
    [leadModel, second].map((f) => [modelToPublish('lead', f, 0).version, f]),
  );
  await publishModel(leadModel, START);
  const first = await startWorker();
  let acting = true;
  const load = (async () => {
    while (acting && sent < 20_000) {
      await act(100);
      await delay(50);
    }
  })();
  await eventually('scores', async () => lastOf(await scored()).size === PEOPLE);
  const swapped = START + 1;
  await publishModel(second, swapped);
  const { version: wanted } = modelToPublish('lead', second, 0);
  await eventually('scores of the other model', async () =>
    (await scored()).some(({ model_version }) => model_version === wanted),
  );
  // Newer, and not to be used: one of features that there are not, one that is cut off, one that is no record at all.
  const bad = modelToPublish('lead', second, START + 2);
  const broken = [bad.model.replace('login_count', 'shoe_size'), bad.model.slice(0, -9)];
  for (const model of broken)
    await publisher.publish('scoring.model', { key: 'lead', value: { ...bad, model } });
  const key = Buffer.from('lead');
  await publisher.publishRaw({ topic: 'scoring.model', key, value: Buffer.from('no model') });
  await eventually('the refusals in the log', () => first.log.split('"MODEL_INVALID"').length > 2);
  await first.end('SIGKILL');
  await act(500);
  const heir = await startWorker();
  await act(500);
  acting = false;
  await load;

  const total = (id: string, type: string) => counts.get(id)?.get(type) ?? 0;
  const isDone = (score: ContactScored | undefined, id: string) =>
    score !== undefined &&
    score.model_version === wanted &&
    score.login_count === total(id, 'user.login') &&
    score.api_calls === total(id, 'api.called') &&
    score.emails_sent === total(id, 'email.sent') &&
    score.opens === total(id, 'email.opened') &&
    score.clicks === total(id, 'email.clicked');
  await eventually('all counted, by the newest valid model', async () => {
    const last = lastOf(await scored());
    return people.every((id) => isDone(last.get(id), id));
  });
  const all = await scored();
  const seen = new Map<string, bigint>();
  for (const score of all) {
    const file = versions.get(score.model_version);
    expect(file, score.model_version).toBeDefined();
    expect(score.score).toBeCloseTo(recomputed(file ?? '', featuresOf(score)), 5);
    expect(score.version).toBe((seen.get(score.contact_id) ?? 0n) + 1n);
    seen.set(score.contact_id, score.version);
  }
  expect(new Set(all.map(({ model_version }) => model_version))).toEqual(new Set(versions.keys()));
  expect(heir.running).toBe(true);
  expect(await heir.end('SIGTERM')).toBe(0);
});
