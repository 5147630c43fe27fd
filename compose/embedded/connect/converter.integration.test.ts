import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createSchemaRegistryClient } from '../../../schemas/registry.ts';
import { testStack } from '../../../tests/integration/stack.ts';
import { defaultCacheDir } from '../../config.ts';
import { composeDir } from '../layout.ts';
import { unitHome } from '../provision/unit.ts';
import { unitOf } from '../provision/units.ts';
import { findJdk } from '../toolchain.ts';

const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir();

/** Each of them starts a JVM, which compiles the program. */
const TIMEOUT = 180_000;

describe('the Avro converter of Kafka Connect', () => {
  const { url } = testStack().registry;
  const topic = `converter-${randomUUID()}`;

  const java = join(findJdk().home, 'bin', 'java');
  const plugins = unitHome(cacheDir, unitOf('connect-plugins'));
  const kafka = unitHome(cacheDir, unitOf('kafka'));
  const classPath = `${join(plugins, 'reachflow-converter', '*')}:${join(kafka, 'lib', '*')}`;

  /** Runs a program of `converter-test/` and returns what it printed. */
  async function run(name: string, args: readonly string[]): Promise<string> {
    const program = join(composeDir, 'embedded/connect/converter-test', `${name}.java`);
    const { stdout } = await promisify(execFile)(java, ['-cp', classPath, program, url, ...args]);
    return stdout.trim();
  }

  afterAll(async () => {
    const subjects = z.array(z.string()).parse(await (await fetch(`${url}/subjects`)).json());
    for (const subject of subjects.filter((name) => name.startsWith(topic))) {
      await fetch(`${url}/subjects/${subject}`, { method: 'DELETE' });
    }
  });

  it(
    'writes the bytes that AvroData and the generic writer of Avro write, for any schema and value',
    async () => {
      expect(await run('ConverterDifferential', [`${topic}-`, '60', '100', '1'])).toBe('6000');
    },
    TIMEOUT,
  );

  it(
    'converts both ways, refuses what it must, and writes what another reader decodes',
    async () => {
      const encoded = Buffer.from(await run('ConverterRoundTrip', [topic]), 'hex');

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
    },
    TIMEOUT,
  );
});
