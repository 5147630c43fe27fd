import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemoryPublisher, SECRET, silent, testConfig } from './fixtures.ts';
import { createWebhookConnector } from './webhook-connector.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/guides/webhooks.md', import.meta.url), 'utf8');
const commands = [...guide.matchAll(/^```bash\n(.*?)^```/gms)].map((block) => block[1] ?? '');
const publisher = createMemoryPublisher();
const connector = createWebhookConnector(testConfig(), { publisher, logger: silent });

beforeAll(() => connector.start());
afterAll(() => connector.stop());

describe('docs/guides/webhooks.md', () => {
  it('has an example of each scheme', () => {
    expect(commands).toHaveLength(2);
  });

  it.each(commands.map((command, i) => [i === 0 ? 'shop' : 'github', command]))(
    'the command for %s works as it stands',
    async (source, command) => {
      const base = `${connector.url()}/webhooks/ingest`;
      const env = { ...process.env, SECRET, URL: `${base}/shop`, GITHUB_URL: `${base}/github` };
      const { stdout } = await run('bash', ['-euc', command], { env });
      expect(JSON.parse(stdout)).toMatchObject({ status: 'accepted' });
      expect(publisher.published.at(-1)?.value.source).toBe(source);
    },
  );

  it('names every code that an answer can have', async () => {
    const files = [
      'ingest.ts',
      'server.ts',
      'body-reader.ts',
      'schemes/scheme.ts',
      'schemes/hmac.ts',
    ];
    const sources = await Promise.all(
      files.map((file) => readFile(new URL(file, import.meta.url), 'utf8')),
    );
    const used = sources.join('\n').matchAll(/code: '([A-Z_0-9]+)'/g);
    const internal = new Set(['ROUTE_UNKNOWN', 'NOT_READY', 'REQUEST_ABORTED']);
    const codes = new Set([...used].map((match) => match[1] ?? '').filter((c) => !internal.has(c)));
    expect(codes.size).toBeGreaterThan(8);
    expect([...codes].filter((code) => !guide.includes(`\`${code}\``))).toEqual([]);
  });
});
