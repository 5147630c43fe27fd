import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemoryPublisher, SECRET, STANDARD_SECRET, silent, testConfig } from './fixtures.ts';
import { ingestSchema } from './openapi.ts';
import { schemes } from './schemes/index.ts';
import type { WebhookSource } from './source-config.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/guides/webhooks.md', import.meta.url), 'utf8');
/** The commands, by the heading that they stand under. */
const commands = guide.split(/^## /m).flatMap((section) => {
  const heading = section.split('\n', 1)[0] ?? '';
  return [...section.matchAll(/^```bash\n(.*?)^```/gms)].map((block) => [heading, block[1] ?? '']);
}) as readonly (readonly [string, string])[];

const publisher = createMemoryPublisher();
let connector: WebhookConnector;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reachflow-guide-'));
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  await writeFile(join(directory, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const { sources } = testConfig();
  const standard = {
    ...sources['standard'],
    secrets: [STANDARD_SECRET, `whpk_${raw.toString('base64')}`],
  } as WebhookSource;
  const config = testConfig({ sources: { ...sources, standard } });
  connector = createWebhookConnector(config, { publisher, logger: silent });
  await connector.start();
});
afterAll(async () => {
  await connector.stop();
  await rm(directory, { recursive: true });
});

describe('docs/guides/webhooks.md', () => {
  it('has an example of each scheme, and of a batch', () => {
    const headings = new Set(commands.map(([heading]) => heading));
    const expected = Object.keys(schemes).map((name) => `Signing: \`${name}\``);
    expect(headings).toEqual(new Set([...expected, 'Batches']));
  });

  it.each(commands)('%s: the command works as it stands', async (_heading, command) => {
    publisher.published.length = 0;
    const env = {
      ...process.env,
      BASE: connector.url(),
      SECRET,
      STANDARD_SECRET,
      KEY_FILE: join(directory, 'key.pem'),
    };
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', command], { env });
    const answer = JSON.parse(stdout) as {
      status: string;
      event_id?: string;
      event_ids?: string[];
    };
    expect(answer.status).toBe('accepted');
    const ids = answer.event_ids ?? [answer.event_id];
    expect(publisher.published.map(({ value }) => value.event_id)).toEqual(ids);
    for (const { value } of publisher.published)
      expect(JSON.parse(value.payload)).toBeTypeOf('object');
  });

  it('names every code that an answer can have, and so does the OpenAPI document', async () => {
    const here = new URL('.', import.meta.url);
    const files = (await readdir(here, { recursive: true })).filter(
      (file) => file.endsWith('.ts') && !/test|fixtures|secrets|connector/.test(file),
    );
    const texts = await Promise.all(files.map((file) => readFile(new URL(file, here), 'utf8')));
    const used = texts.join('\n').matchAll(/code: (?:.*\? )?'([A-Z_0-9]+)'(?: : '([A-Z_0-9]+)')?/g);
    const codes = new Set([...used].flatMap((match) => [match[1], match[2]]).filter(Boolean));
    expect(codes.size).toBeGreaterThan(20);
    const internal = new Set(['NOT_READY', 'REQUEST_ABORTED']);
    expect([...codes].filter((c) => !internal.has(c ?? '') && !guide.includes(`\`${c}\``))).toEqual(
      [],
    );
    const document = JSON.stringify(ingestSchema.response);
    // Those of 503 and 500 are others' to add to, and 405 is of other methods.
    const open = new Set(['NOT_READY', 'METHOD_NOT_ALLOWED', 'ACK_TIMEOUT', 'INTERNAL']);
    const stored = new Set([...open, 'OVERLOADED', 'SHUTTING_DOWN']);
    expect([...codes].filter((c) => !stored.has(c ?? '') && !document.includes(`"${c}"`))).toEqual(
      [],
    );
  });
});
