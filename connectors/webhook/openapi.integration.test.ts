import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import { topics } from '../../schemas/topics.ts';
import { decodedTopic, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { SECRET, testConfig } from './fixtures.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

/**
 * The served OpenAPI document against schemathesis, a tester that nobody here wrote: requests are made from the
 * document, and each answer has to be one that the document has.
 */

const VERSION = '4.32.5';
const TOPIC = 'webhook.received';
const run = promisify(execFile);
const { client, codec } = kafkaFixture();
const hooks = fileURLToPath(new URL('testing', import.meta.url));

/** The tool's virtual environment, made once and kept, since it takes longer than the test; or why there is none. */
async function installed(): Promise<{ readonly bin: string } | { readonly missing: string }> {
  const home = join(tmpdir(), `reachflow-schemathesis-${VERSION}`);
  const bin = join(home, 'bin', 'schemathesis');
  const ready = join(home, 'ready');
  try {
    await access(ready);
    return { bin };
  } catch {
    await rm(home, { recursive: true, force: true });
  }
  try {
    await run('python3', ['-m', 'venv', home], { timeout: 120_000 });
    const pip = ['install', '--quiet', '--disable-pip-version-check', '--retries', '1'];
    await run(join(home, 'bin', 'pip'), [...pip, `schemathesis==${VERSION}`], { timeout: 300_000 });
    await run(bin, ['--version'], { timeout: 60_000 });
    await writeFile(ready, '');
    return { bin };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return {
      missing: `schemathesis cannot be installed here (python3, venv and a network are needed): ${reason}`,
    };
  }
}

const tool = await installed();
let publisher: OwnedPublisher;
let connector: WebhookConnector;
let scratch: string;
/** Event ids that were acknowledged by the brokers. */
const published = new Set<string>();

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'reachflow-openapi-'));
  const { cleanup, retentionMs, maxMessageBytes } = topics[TOPIC];
  await ensureTopics(client, [
    { name: TOPIC, partitions: 2, cleanup, retentionMs, maxMessageBytes },
  ]);
  publisher = await createPublisher(client, codec);
  const counting: Publisher = {
    async publish(topic, record) {
      await publisher.publish(topic, record);
      published.add(String((record.value as { event_id?: unknown }).event_id));
    },
  };
  connector = createWebhookConnector(testConfig(), { publisher: counting, logger: testLogger });
  await connector.start();
});

afterAll(async () => {
  await connector.stop();
  await publisher.close();
  await rm(scratch, { recursive: true });
});

const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'allow_header_conformance',
];

/** What schemathesis says, and whether it found nothing to complain about. */
async function schemathesis(bin: string): Promise<{ passed: boolean; output: string }> {
  const env = {
    ...process.env,
    SECRET,
    SIGNED_SOURCES: 'shop,lenient,whole,named',
    SCHEMATHESIS_HOOKS: 'schemathesis_hooks',
    PYTHONPATH: [hooks, process.env['PYTHONPATH']].filter(Boolean).join(delimiter),
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const args = [
    ...['run', `${connector.url()}/openapi.json`, '--phases', 'coverage,fuzzing'],
    ...['--max-examples', '50', '--no-shrink', '--continue-on-failure'],
    ...['--suppress-health-check', 'all', '--checks', CHECKS.join(',')],
  ];
  try {
    // Its database of examples would be written to the working directory.
    const { stdout } = await run(bin, args, { env, cwd: scratch, maxBuffer: 50_000_000 });
    return { passed: true, output: stdout };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { passed: false, output: `${stdout}\n${stderr}\n${String(error)}`.slice(-20_000) };
  }
}

describe('the served OpenAPI document', { timeout: 300_000 }, () => {
  it('holds for what schemathesis makes of it, and each accepted event is stored', async (context) => {
    if ('missing' in tool) return context.skip(tool.missing);
    const { passed, output } = await schemathesis(tool.bin);
    expect(passed, output).toBe(true);
    expect(output).toMatch(/POST|Selected: [34]/);
    expect(published.size).toBeGreaterThan(10);
    const stored = new Set<string>();
    for (const { event_id: id } of await decodedTopic(client, codec, TOPIC)) stored.add(id);
    expect([...published].filter((id) => !stored.has(id))).toEqual([]);
  });
});
