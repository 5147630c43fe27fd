import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../runtime/observability/metrics.ts';
import { type WebhookConfig, webhookConfigSchema } from './config.ts';
import { createMemoryPublisher, OLD_SECRET, SECRET, STANDARD_SECRET, silent } from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';
import { openSecrets, parseSecrets } from './secrets.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

let directory: string;
let path: string;
let connector: WebhookConnector | undefined;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reachflow-secrets-'));
  path = join(directory, 'secrets');
});
afterEach(async () => {
  agent.destroy();
  await connector?.stop();
  connector = undefined;
  await rm(directory, { recursive: true });
});

function config(fields: Record<string, unknown> = {}): WebhookConfig {
  return webhookConfigSchema.parse({
    port: 0,
    // Long: the tests say when to look.
    secretsReloadMs: 60_000,
    sources: { shop: { scheme: 'hmac', tenant: 'acme', secretsFile: path } },
    ...fields,
  });
}

/** As a careful operator does: readers see the old file or the new one. */
async function replace(text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

let count = 0;
/** Posts over the one connection that is kept. */
function post(url: string, secret: string): Promise<{ status: number; port: number | undefined }> {
  count += 1;
  const body = '{"id":1}';
  const signing = { deliveryId: `d-${count}`, eventType: 'e', timestampMs: Date.now() };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}/webhooks/ingest/shop`,
      { method: 'POST', agent, headers: signHmac({ secret, body, ...signing }) },
      (response) => {
        const port = outgoing.socket?.localPort;
        response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, port }));
      },
    );
    outgoing.on('error', reject).end(body);
  });
}

describe('a file of secrets', () => {
  it('has one a line', () => {
    const of = { source: 's', scheme: 'hmac', path: '/p' };
    const text = `# rotated on Monday\n${SECRET}\r\n\n   ${OLD_SECRET}\n`;
    expect(parseSecrets(text, of)).toEqual([SECRET, OLD_SECRET]);
    expect(parseSecrets(STANDARD_SECRET, { ...of, scheme: 'standard-webhooks' })).toHaveLength(1);
  });

  it.each([
    ['', 'hmac', /at least one secret/],
    ['# none\n', 'hmac', /at least one secret/],
    [`${SECRET}\n\ntoo-short\n`, 'hmac', /line 3: at least 16 characters/],
    [`${SECRET}\n`.repeat(9), 'hmac', /at most 8/],
    [`${SECRET}\n`, 'standard-webhooks', /line 1: whsec_/],
  ])('that is %j is refused for %s, and not quoted', (text, scheme, reason) => {
    const parse = () => parseSecrets(text, { source: 'shop', scheme, path: '/p' });
    expect(parse).toThrow(reason);
    expect(parse).not.toThrow(/battery/);
  });

  it.each([
    ['is absent', undefined],
    ['is bad', 'short\n'],
    ['is too large', 'x'.repeat(70_000)],
  ])('that %s at the start is said there', async (_what, text) => {
    if (text !== undefined) await writeFile(path, text);
    const opening = openSecrets(config(), { logger: silent });
    await expect(opening).rejects.toMatchObject({ code: 'WEBHOOK_SECRETS_INVALID' });
  });

  it('is read again by itself when it changes', async () => {
    await writeFile(path, SECRET);
    const secrets = await openSecrets(config({ secretsReloadMs: 100 }), { logger: silent });
    await replace(`${SECRET}\n${OLD_SECRET}\n`);
    await vi.waitFor(() => expect(secrets.of('shop')).toEqual([SECRET, OLD_SECRET]), 30_000);
    secrets.close();
    expect(secrets.of('nobody')).toEqual([]);
  });

  it('that became bad changes nothing, and is reported once', async () => {
    const lines: { level: number; msg: string }[] = [];
    const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const metrics = createMetrics({ version: '0', process: false });
    await writeFile(path, SECRET);
    const secrets = await openSecrets(config(), { logger, metrics });
    for (const bad of ['short', 'short', undefined]) {
      if (bad === undefined) await rm(path);
      else await replace(bad);
      await secrets.reload();
      expect(secrets.of('shop')).toEqual([SECRET]);
    }
    expect(lines.filter(({ level }) => level === 50)).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toContain(SECRET);
    await replace(OLD_SECRET);
    await secrets.reload();
    expect(secrets.of('shop')).toEqual([OLD_SECRET]);
    const text = await metrics.registry.metrics();
    expect(text).toContain('secret_reloads_total{source="shop",outcome="failed"} 3');
    expect(text).toContain('secret_reloads_total{source="shop",outcome="reloaded"} 1');
    secrets.close();
  });
});

describe('rotation on a running ingestor', () => {
  it('refuses no request and ends no connection; SIGHUP reads the file at once', async () => {
    await writeFile(path, OLD_SECRET);
    connector = createWebhookConnector(config(), {
      publisher: createMemoryPublisher(),
      logger: silent,
    });
    await connector.start();
    const url = connector.url();
    const first = await post(url, OLD_SECRET);
    expect(first.status).toBe(202);
    expect((await post(url, SECRET)).status).toBe(401);

    await replace(`${SECRET}\n${OLD_SECRET}\n`);
    process.kill(process.pid, 'SIGHUP');
    await vi.waitFor(async () => expect((await post(url, SECRET)).status).toBe(202), 30_000);
    expect((await post(url, OLD_SECRET)).status).toBe(202);

    await replace(SECRET);
    process.kill(process.pid, 'SIGHUP');
    await vi.waitFor(async () => expect((await post(url, OLD_SECRET)).status).toBe(401), 30_000);
    expect(await post(url, SECRET)).toEqual({ status: 202, port: first.port });
  });

  it('listens for SIGHUP only while there is something to read', async () => {
    const before = process.listenerCount('SIGHUP');
    await writeFile(path, SECRET);
    const deps = { publisher: createMemoryPublisher(), logger: silent };
    connector = createWebhookConnector(config(), deps);
    await connector.start();
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    await connector.stop();
    expect(process.listenerCount('SIGHUP')).toBe(before);
    await rm(path);
    await expect(connector.start()).rejects.toMatchObject({ code: 'WEBHOOK_SECRETS_INVALID' });
    expect(process.listenerCount('SIGHUP')).toBe(before);
    const fixed = { shop: { scheme: 'hmac', tenant: 'acme', secrets: [SECRET] } };
    connector = createWebhookConnector(config({ sources: fixed }), deps);
    await connector.start();
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });
});
