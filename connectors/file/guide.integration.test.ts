import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { registryConfigSchema } from '../../runtime/kafka/config.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { fileConfigSchema } from './config.ts';
import { createFileConnector, type FileConnector } from './file-connector.ts';

const run = promisify(execFile);
const guide = readFileSync(new URL('../../docs/guides/import.md', import.meta.url), 'utf8');
const blocks = (language: string) =>
  [...guide.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    (match) => match[1] ?? '',
  );
const { client, codec } = kafkaFixture();
const cwd = mkdtempSync(join(tmpdir(), 'reachflow-guide-'));
const TOKEN = 'a-token-of-16-characters-or-more';
let connector: FileConnector | undefined;

beforeAll(() => {
  const bin = new URL('../../bin/reachflow.js', import.meta.url).pathname;
  writeFileSync(join(cwd, 'reachflow'), `#!/bin/sh\nexec "${process.execPath}" "${bin}" "$@"\n`);
  chmodSync(join(cwd, 'reachflow'), 0o755);
});
afterAll(() => connector?.stop());

async function bash(command: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { kafka, registry } = testStack();
  const { stdout } = await run('bash', ['-euc', command], {
    cwd,
    env: {
      ...env,
      HOME: process.env['HOME'],
      PATH: `${cwd}:${process.env['PATH']}`,
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_REGISTRY_URL: registry.url,
    },
  });
  return stdout;
}

describe('docs/guides/import.md', { timeout: 240_000 }, () => {
  it('imports its file by its map, from the command line', async () => {
    const [first = '', second = ''] = blocks('bash');
    expect(await bash(first)).toContain('map.yaml: a map of 4 columns');
    const output = await bash(second);
    expect(output).toContain('rejected: E-mail: "alan at example.com" is no e-mail address');
    expect(output).toMatch(/imported contacts\.csv: 2 rows .* to file\.row\.received/);
    const rows = await decodedTopic(client, codec, 'file.row.received');
    expect(rows.map(({ payload }) => JSON.parse(payload)).sort((a, b) => a.id - b.id)).toEqual([
      { id: 1, name: 'Ada Lovelace', email: 'ada@example.com', origin: 'import' },
      { id: 2, name: 'Hopper, Grace', email: 'grace@example.com', origin: 'import' },
    ]);
  });

  it('takes its file as an upload, of which nothing counts again', async () => {
    const [settings = ''] = blocks('yaml');
    const { file } = parse(settings) as { file: object };
    const map = join(cwd, 'map.yaml');
    const sources = { crm: { tokens: [TOKEN], map } };
    const config = fileConfigSchema.parse({
      ...file,
      port: 0,
      directory: join(cwd, 'uploads'),
      sources,
    });
    const registry = registryConfigSchema.parse({ url: testStack().registry.url });
    connector = createFileConnector(config, { client, codec, registry, logger: testLogger });
    await connector.start();
    const URL = connector.url() ?? '';
    const state = JSON.parse(await bash(blocks('bash')[2] ?? '', { URL, TOKEN })) as { id: string };
    await eventually('it is imported', async () => {
      const response = await fetch(`${URL}/imports/${state.id}`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      });
      const { state: now, already } = (await response.json()) as {
        state: string;
        already: boolean;
      };
      return now === 'finished' && already;
    });
    expect(await decodedTopic(client, codec, 'file.row.received')).toHaveLength(2);
  });
});
