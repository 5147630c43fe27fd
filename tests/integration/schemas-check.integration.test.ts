import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readerSchemaText } from '../../schemas/avro.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { kafkaFixture } from '../support/kafka.ts';
import { testStack } from './stack.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;

interface Schema {
  readonly fields: readonly { readonly name: string; readonly [key: string]: unknown }[];
}

const current = JSON.parse(readerSchemaText('contact.golden')) as Schema;
/** Before `score` was added, which has a default. */
const older = JSON.stringify({
  ...current,
  fields: current.fields.filter(({ name }) => name !== 'score'),
});
/** With an id that readers of today cannot read. */
const other = JSON.stringify({
  ...current,
  fields: current.fields.map((field) =>
    field.name === 'id' ? { name: 'id', type: 'int' } : field,
  ),
});

async function check(
  namespace: string,
  against: string,
): Promise<{ code: number; report: Record<string, unknown> }> {
  const { PATH, HOME } = process.env;
  const env = {
    PATH,
    HOME,
    REACHFLOW_REGISTRY_URL: testStack().registry.url,
    REACHFLOW_KAFKA_NAMESPACE: namespace,
  };
  const args = [BIN, 'schemas', 'check', 'contact.golden', '--json', '--against', against];
  const ran = promisify(execFile)(process.execPath, args, { env }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
  const { code, stdout } = await ran;
  const [first = '{}'] = stdout.split('\n');
  return { code, report: JSON.parse(first) as Record<string, unknown> };
}

describe('reachflow schemas check', () => {
  it('compares with the versions of the registry, or of a directory', async () => {
    const { client } = kafkaFixture();
    const { namespace } = client.config;
    const subject = `${client.physical('contact.golden')}-value`;
    await createSchemaRegistryClient(testStack().registry.url).register(subject, older);
    const added = await check(namespace, 'registry');
    expect(added.code).toBe(0);
    expect(added.report).toMatchObject({ versions: 1, changed: true, ok: true });
    expect(added.report['from']).toBe(`registry, ${subject}`);

    const directory = mkdtempSync(join(tmpdir(), 'reachflow-schemas-'));
    writeFileSync(join(directory, 'contact.avsc'), other);
    const broken = await check(namespace, directory);
    expect(broken.code).toBe(1);
    expect(broken.report).toMatchObject({ versions: 1, changed: true, ok: false });
  }, 120_000);
});
