import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { createSchemaRegistryClient } from '../../../schemas/registry.ts';
import { testStack } from '../../../tests/integration/stack.ts';
import { defaultCacheDir } from '../../config.ts';
import { composeDir } from '../layout.ts';
import { unitHome } from '../provision/unit.ts';
import { unitOf } from '../provision/units.ts';
import { findJdk } from '../toolchain.ts';

const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir();

describe('the Avro converter of Kafka Connect', () => {
  const { url } = testStack().registry;
  const topic = `converter-${randomUUID()}`;

  afterAll(async () => {
    await fetch(`${url}/subjects/${topic}-value`, { method: 'DELETE' });
  });

  it('converts both ways, refuses what it must, and writes what another reader decodes', async () => {
    const plugins = unitHome(cacheDir, unitOf('connect-plugins'));
    const kafka = unitHome(cacheDir, unitOf('kafka'));
    const classPath = `${join(plugins, 'reachflow-converter', '*')}:${join(kafka, 'lib', '*')}`;
    const program = join(composeDir, 'embedded/connect/converter-test/ConverterRoundTrip.java');
    const java = join(findJdk().home, 'bin', 'java');
    const { stdout } = await promisify(execFile)(java, ['-cp', classPath, program, url, topic]);
    const encoded = Buffer.from(stdout.trim(), 'hex');

    const type = await createSchemaRegistryClient(url).writerType(encoded.readInt32BE(1));
    const decoded: unknown = type.fromBuffer(encoded.subarray(5));
    expect(decoded).toMatchObject({
      id: -1_234_567_890_123,
      name: 'Zoë 李',
      score: null,
      raw: Buffer.from([0, 255, 127]),
      tags: ['a', ''],
      props: { x: -1 },
      at: 1_767_225_600_123,
      address: { city: 'Genève' },
    });
  }, 60_000);
});
