import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killComponent, startComponent } from '../../compose/stack.ts';
import { createKafkaClient, type KafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { decodedTopic, eventually, testLogger } from '../support/kafka.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import { WebhookSenders } from '../support/webhook-senders.ts';

const SECRET = 'a-secret-of-this-test-only';
const SENDERS = 16;
const PORT_ANY = '0';

describe('webhooks and their spool while the broker is away', () => {
  let own: OwnStack;
  let client: KafkaClient;
  let codec: TopicCodec;
  let spoolDir: string;
  let ingestor: ReachflowProcess;
  let url = '';

  beforeAll(async () => {
    own = await startOwnStack('spool');
    spoolDir = mkdtempSync(join(tmpdir(), 'reachflow-spool-e2e-'));
    const { kafka, registry } = own.endpoints;
    client = createKafkaClient(kafkaConfigSchema.parse({ brokers: kafka.brokers }), testLogger);
    codec = new TopicCodec(createSchemaRegistryClient(registry.url), client.physical);
    start();
    const { webhookUrl = '' } = await ingestor.ready();
    url = `${webhookUrl}/webhooks/ingest/shop`;
  }, 120_000);

  afterAll(async () => {
    await ingestor?.end('SIGTERM');
    await own?.remove();
    rmSync(spoolDir, { recursive: true, force: true });
  }, 60_000);

  /** On the same port as before. */
  function start(): void {
    const { kafka, registry } = own.endpoints;
    const source = { scheme: 'hmac', tenant: 't', secrets: [SECRET], entityPointers: ['/id'] };
    ingestor = new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_WEBHOOK_PORT: url === '' ? PORT_ANY : new URL(url).port,
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({ shop: source }),
        REACHFLOW_WEBHOOK_SPOOL_DIR: spoolDir,
      },
      ['--only', 'webhook,events'],
    );
  }

  const load = (name: string) => new WebhookSenders(() => url, SECRET, SENDERS, name);

  async function received(prefix: string): Promise<string[]> {
    const values = await decodedTopic(client, codec, 'webhook.received');
    return values.map((value) => value.delivery_id).filter((id) => id.startsWith(prefix));
  }

  const spooled = (): boolean =>
    readdirSync(spoolDir, { recursive: true }).some((file) => String(file).endsWith('.segment'));

  /** What a sender was told is accepted is there, in its order; a repetition counts where it came first. */
  function expectInOrder(found: readonly string[], accepted: readonly (readonly string[])[]): void {
    const first = [...new Set(found)];
    for (const [sender, ids] of accepted.entries()) {
      const own = first.filter((id) => id.split('-')[1] === String(sender));
      expect(own).toEqual(ids);
    }
  }

  async function acceptsMore(senders: WebhookSenders, count: number): Promise<void> {
    const accepted = () => senders.sent.accepted.reduce((sum, ids) => sum + ids.length, 0);
    const before = accepted();
    await eventually('it accepts more', () => accepted() > before + count);
  }

  it('a broker killed under load: all accepted are there once, in order, and hardly any is refused', async () => {
    const senders = load('outage');
    await acceptsMore(senders, 200);
    await killComponent(own.dir, 'kafka', 'SIGKILL');
    await eventually('it spools', spooled);
    await delay(3_000);
    await startComponent(own.dir, 'kafka');
    await eventually('it has drained', () => !spooled());
    const before = senders.sent.attempts;
    await eventually('it goes on', () => senders.sent.attempts > before + 200);
    const { accepted, attempts, refused, unanswered } = await senders.stop();
    expect((refused + unanswered) / attempts).toBeLessThan(0.05);
    const found = await received('outage');
    expect(found.toSorted()).toEqual(accepted.flat().toSorted());
    expectInOrder(found, accepted);
  }, 120_000);

  it('a broker that hangs with a batch in its hands: all accepted are there once, in order', async () => {
    const senders = load('frozen');
    await acceptsMore(senders, 200);
    await killComponent(own.dir, 'kafka', 'SIGSTOP');
    await eventually('it spools', spooled);
    await acceptsMore(senders, 200);
    await killComponent(own.dir, 'kafka', 'SIGCONT');
    await eventually('it has drained', () => !spooled());
    const { accepted, refused, unanswered } = await senders.stop();
    expect(refused + unanswered).toBe(0);
    const found = await received('frozen');
    expect(found.toSorted()).toEqual(accepted.flat().toSorted());
    expectInOrder(found, accepted);
  }, 120_000);

  it('killed itself while it spools and while it drains: all accepted are processed once', async () => {
    const senders = load('killed');
    await acceptsMore(senders, 200);
    await killComponent(own.dir, 'kafka', 'SIGKILL');
    await eventually('it spools', spooled);
    await acceptsMore(senders, 500);
    await ingestor.end('SIGKILL');
    start();
    // There is still no broker.
    await acceptsMore(senders, 500);
    await startComponent(own.dir, 'kafka');
    await ingestor.ready();
    await ingestor.end('SIGKILL');
    start();
    await ingestor.ready();
    const { accepted } = await senders.stop();
    await eventually('it has drained', () => !spooled());
    const found = await received('killed');
    expect([...new Set(found)].toSorted()).toEqual(accepted.flat().toSorted());
    expectInOrder(found, accepted);
    const recorded = async (): Promise<string[]> => {
      const events = await decodedTopic(client, codec, 'event.recorded');
      const ids = events.map(({ event_id }) => event_id.replace('shop:', ''));
      return ids.filter((id) => id.startsWith('killed')).toSorted();
    };
    await eventually(
      'all are processed',
      async () => (await recorded()).length >= accepted.flat().length,
    );
    expect(await recorded()).toEqual(accepted.flat().toSorted());
  }, 180_000);
});
