import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killComponent, startComponent } from '../../compose/stack.ts';
import { type DeliveryHarness, describeDelivery } from '../../connectors/conformance.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
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
/** Delivery ids of the suite for connectors. */
const CONFORMING = /^[a-z]+-\d+$/;

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
    const port = url === '' ? PORT_ANY : new URL(url).port;
    ingestor = ingest('webhook,events', spoolDir, port);
  }

  function ingest(only: string, spool: string, port = PORT_ANY): ReachflowProcess {
    const { kafka, registry } = own.endpoints;
    const source = { scheme: 'hmac', tenant: 't', secrets: [SECRET], entityPointers: ['/id'] };
    return new ReachflowProcess(
      {
        REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
        REACHFLOW_REGISTRY_URL: registry.url,
        REACHFLOW_WEBHOOK_PORT: port,
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({ shop: source }),
        REACHFLOW_WEBHOOK_SPOOL_DIR: spool,
      },
      ['--only', only],
    );
  }

  const load = (name: string) => new WebhookSenders(() => url, SECRET, SENDERS, name);

  async function received(prefix: string): Promise<string[]> {
    const values = await decodedTopic(client, codec, 'webhook.received');
    return values.map((value) => value.delivery_id).filter((id) => id.startsWith(prefix));
  }

  const hasSegments = (dir: string): boolean =>
    readdirSync(dir, { recursive: true }).some((file) => String(file).endsWith('.segment'));
  const spooled = (): boolean => hasSegments(spoolDir);

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

  describe('connector contract: webhook, a process of its own', () => {
    let spool: string;
    let connector: ReachflowProcess | undefined;
    let at = '';

    beforeAll(() => {
      spool = mkdtempSync(join(tmpdir(), 'reachflow-spool-conforming-'));
    });
    afterAll(async () => {
      await connector?.end('SIGTERM');
      rmSync(spool, { recursive: true, force: true });
    }, 60_000);

    const post = async (deliveryId: string): Promise<readonly string[]> => {
      const body = '{"id":"one"}';
      const signing = { secret: SECRET, deliveryId, eventType: 'e', timestampMs: Date.now() };
      const request = { method: 'POST', body, headers: signHmac({ ...signing, body }) };
      const status = await fetch(at, request).then(
        (response) => response.status,
        () => 0,
      );
      return status === 202 ? [deliveryId] : [];
    };
    const counted = async (): Promise<readonly string[]> => {
      const events = await decodedTopic(client, codec, 'event.recorded');
      const ids = events.map(({ event_id }) => event_id.replace('shop:', ''));
      return ids.filter((id) => CONFORMING.test(id));
    };
    const harness: DeliveryHarness = {
      offer: async (ids) => (await Promise.all(ids.map(post))).flat(),
      stored: async () => {
        await eventually('it has drained', () => !hasSegments(spool));
        const ids = new Set((await received('')).filter((id) => CONFORMING.test(id)));
        await eventually('all are processed', async () => (await counted()).length >= ids.size);
        return await counted();
      },
      faults: {
        kill: async () => void (await connector?.end('SIGKILL')),
        withoutBrokers: async (work) => {
          await killComponent(own.dir, 'kafka', 'SIGSTOP');
          await work().finally(() => killComponent(own.dir, 'kafka', 'SIGCONT'));
        },
      },
    };
    const process = {
      start: async () => {
        if (connector?.running === true) return;
        connector = ingest('webhook', spool);
        at = `${(await connector.ready()).webhookUrl ?? ''}/webhooks/ingest/shop`;
      },
      stop: async () => void (await connector?.end('SIGTERM')),
    };
    describeDelivery(harness, () => process, 60_000);
  });
});
