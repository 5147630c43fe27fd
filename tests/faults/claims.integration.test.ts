import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { claimCheckConfigSchema } from '../../runtime/claims/config.ts';
import { openClaims } from '../../runtime/claims/open.ts';
import { claimCheckingPublisher } from '../../runtime/claims/publisher.ts';
import { ensureTopics, topicOffsets } from '../../runtime/kafka/admin.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { topics } from '../../schemas/topics.ts';
import { testStack } from '../integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import { WebhookSenders } from '../support/webhook-senders.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const SECRET = 'a-secret-of-this-test-only';
const PADDING = 9_000;
const base = mkdtempSync(join(tmpdir(), 'reachflow-claims-e2e-'));
let worker: ReachflowProcess | undefined;

afterEach(() => worker?.end('SIGKILL'));
afterAll(() => rm(base, { recursive: true, force: true }));

/** A namespace and a storage of their own. */
function world(name: string, partitions: number) {
  const directory = join(base, name);
  const config = claimCheckConfigSchema.parse({ directory });
  const claims = openClaims(config, testLogger);
  const stack = testStack();
  const { client, codec } = kafkaFixture({ partitions }, stack, claims.reader);
  const env = {
    REACHFLOW_KAFKA_BROKERS: stack.kafka.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
    REACHFLOW_KAFKA_PARTITIONS: String(partitions),
    REACHFLOW_REGISTRY_URL: stack.registry.url,
    REACHFLOW_CLAIM_CHECK_DIRECTORY: directory,
    REACHFLOW_CLAIM_CHECK_SWEEP_INTERVAL_MS: '1000',
    REACHFLOW_STATE_DIR: join(base, `${name}-state`),
    REACHFLOW_WEBHOOK_SPOOL_DIR: join(base, `${name}-spool`),
  };
  const recorded = async () => decodedTopic(client, codec, 'event.recorded').catch(() => []);
  return { directory, claims, client, codec, env, recorded };
}

async function payloadFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.tmp'));
  return files.map(({ parentPath, name }) => join(parentPath, name));
}

describe('payloads beside their topic', () => {
  it('are all there after kills of the ingestor, an outage of the storage and sweeps under load', async () => {
    const { directory, client, codec, env, recorded } = world('load', 2);
    const old = join(directory, '2020-01-01', 'aa', 'a'.repeat(64));
    await mkdir(dirname(old), { recursive: true });
    await writeFile(old, 'x');
    let url = '';
    const start = async (): Promise<void> => {
      const source = { scheme: 'hmac', tenant: 't', secrets: [SECRET], entityPointers: ['/id'] };
      const own = {
        REACHFLOW_WEBHOOK_PORT: url === '' ? '0' : new URL(url).port,
        REACHFLOW_WEBHOOK_SOURCES: JSON.stringify({ shop: source }),
      };
      worker = new ReachflowProcess({ ...env, ...own }, ['--only', 'webhook,events']);
      const { webhookUrl = '' } = await worker.ready();
      url = `${webhookUrl}/webhooks/ingest/shop`;
    };
    await start();
    const senders = new WebhookSenders(() => url, SECRET, 8, 'e', PADDING);
    const accepted = () => senders.sent.accepted.reduce((sum, ids) => sum + ids.length, 0);
    const acceptsMore = async (count: number): Promise<void> => {
      const before = accepted();
      await eventually('it accepts more', () => accepted() > before + count);
    };
    await acceptsMore(100);
    await eventually(
      'what is old is swept',
      async () => !(await payloadFiles(directory)).includes(old),
    );
    for (let kill = 0; kill < 2; kill += 1) {
      await worker?.end('SIGKILL');
      await start();
      await acceptsMore(100);
    }
    // As a volume that is not mounted any more: nothing can be written, and nothing is found.
    await rename(directory, `${directory}.away`);
    await writeFile(directory, '');
    await acceptsMore(50);
    await rm(directory);
    await rename(`${directory}.away`, directory);
    const sent = await senders.stop();
    const ids = sent.accepted.flat().toSorted();
    await eventually('all is recorded', async () => (await recorded()).length >= ids.length);
    const events = await recorded();
    expect(events.map(({ event_id }) => event_id.replace('shop:', '')).toSorted()).toEqual(ids);
    for (const { event_id, payload } of events) {
      const { id, n, padding } = JSON.parse(payload) as Record<string, string>;
      expect(`shop:${id}-${n}`).toBe(event_id);
      expect(padding?.length).toBe(PADDING);
    }
    const received = await decodedTopic(client, codec, 'webhook.received');
    expect(new Set(received.map(({ delivery_id }) => delivery_id)).size).toBe(ids.length);
    // One for each delivery, but for those of the outage; and one for none, where a kill came in between.
    const files = (await payloadFiles(directory)).length;
    expect(files).toBeGreaterThan(ids.length / 3);
    expect(files).toBeLessThanOrEqual(ids.length + 8 * 2);
  }, 240_000);

  it('that are damaged are dead-lettered, that are missing are waited for; both are as they were once restored', async () => {
    const { directory, claims, client, codec, env, recorded } = world('sick', 1);
    const { writer } = claims;
    if (writer === undefined) throw new Error('the claim check is off');
    const { cleanup, retentionMs, maxMessageBytes } = topics['webhook.received'];
    const plan = { name: 'webhook.received', partitions: 1, cleanup, retentionMs, maxMessageBytes };
    await ensureTopics(client, [plan]);
    const direct = await createPublisher(client, codec);
    const publisher = claimCheckingPublisher(direct, writer);
    const at = Date.now();
    const files: string[] = [];
    for (const id of ['damaged', 'fine', 'missing', 'behind']) {
      const value = {
        ...{ event_id: id, tenant_id: 't', source: 's', event_type: 'e', delivery_id: id },
        ...{ entity_id: 'c', occurred_at: at, received_at: at },
        payload: JSON.stringify({ id, padding: 'é'.repeat(PADDING) }),
      };
      await publisher.publish('webhook.received', { key: 't:c', value });
      const known = await payloadFiles(directory);
      files.push(...known.filter((file) => !files.includes(file)));
    }
    await direct.close();
    const [damaged = '', , missing = ''] = files;
    const whole = await readFile(damaged);
    const flipped = Buffer.from(whole);
    flipped[5_000] = (flipped[5_000] ?? 0) ^ 1;
    await writeFile(damaged, flipped);
    await rename(missing, `${missing}.elsewhere`);

    worker = new ReachflowProcess(env, ['--only', 'events']);
    await worker.ready();
    const ids = async () => (await recorded()).map(({ event_id }) => event_id);
    await eventually('what is before it', async () => (await ids()).includes('fine'));
    await eventually('it says what it waits for', () => {
      const sha = missing.split('/').at(-1) ?? '';
      const lines = worker?.log.split('\n') ?? [];
      const line = lines.find((text) => text.includes('CLAIM_NOT_FOUND'));
      return (
        line?.includes(sha) === true &&
        line.includes('webhook.received[0]@2') &&
        line.includes(directory)
      );
    });
    expect(await ids()).toEqual(['fine']);
    await rename(`${missing}.elsewhere`, missing);
    await eventually('what waited', async () => (await ids()).length === 3);
    expect(await ids()).toEqual(['fine', 'missing', 'behind']);

    const dlq = async (...args: string[]): Promise<string> => {
      const { PATH, HOME } = process.env;
      const options = { env: { PATH, HOME, NO_COLOR: '1', ...env } };
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [BIN, 'dlq', ...args],
        options,
      );
      return stdout;
    };
    await writeFile(damaged, whole);
    const letter = JSON.parse(await dlq('list', '--json')) as Record<string, unknown>;
    const value = { event_id: 'damaged', payload: whole.toString() };
    expect(letter).toMatchObject({ code: 'CLAIM_CORRUPT', step: 'decode', value });
    expect(JSON.stringify(letter)).toMatch(/damaged in .*SHA-256/);
    expect(await dlq('redrive', '--yes')).toContain('1 letters redriven');
    await eventually('what was damaged', async () => (await ids()).includes('damaged'));
    const [last] = (await recorded()).filter(({ event_id }) => event_id === 'damaged');
    expect(last?.payload).toBe(whole.toString());
    const [{ high } = { high: 0n }] = await topicOffsets(client, 'webhook.received.events.dlq');
    expect(high <= 2n).toBe(true);
  }, 240_000);
});
