import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { type DeadLetterInfo, deadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import { readDlq } from '../../runtime/delivery/dlq-reader.ts';
import { SinkRunner } from '../../runtime/delivery/sink-runner.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { dlqOf, retryOf } from '../../schemas/topics.ts';
import { contact } from '../../sinks/fixtures.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';
import { recordsOf, writeLetters } from '../support/letters.ts';
import { testStack } from './stack.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const PATCH = `
import type { Patch } from '${new URL('../../cli/dlq/patch.ts', import.meta.url).pathname}';

const mend: Patch<'contact.golden'> = ({ value }) =>
  value === null || value === undefined ? undefined : { ...value, full_name: 'mended' };
export default mend;
`;

function environment(client: KafkaClient): Record<string, string | undefined> {
  const { kafka, registry } = testStack();
  const { PATH, HOME } = process.env;
  return {
    PATH,
    HOME,
    NO_COLOR: '1',
    REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
    REACHFLOW_REGISTRY_URL: registry.url,
  };
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as a user runs it, without a terminal. */
async function dlq(client: KafkaClient, ...args: string[]): Promise<Ran> {
  const run = promisify(execFile)(process.execPath, [BIN, 'dlq', ...args], {
    env: environment(client),
  });
  try {
    return { code: 0, ...(await run) };
  } catch (error) {
    return error as Ran;
  }
}

describe('dead letters of a sink, on the real engines', () => {
  const { client, codec } = kafkaFixture();
  const schema = client.config.namespace;
  let publisher: OwnedPublisher;
  let runner: SinkRunner;
  let db: pg.Client;

  beforeAll(async () => {
    const url = testStack().postgres.url;
    const sink = createPostgresSink(postgresConfigSchema.parse({ url, schema }), {
      logger: testLogger,
    });
    await ensureTopics(client, planTopics([], [sink], 2));
    publisher = await createPublisher(client, codec);
    runner = new SinkRunner({
      sink,
      config: deliveryConfigSchema.parse({ retryInitialMs: 50, retryMaxMs: 200, maxWaitMs: 50 }),
      client,
      codec,
      publisher,
      logger: testLogger,
      onFatal: (error) => expect.fail(error.message),
    });
    await runner.start();
    db = new pg.Client({ connectionString: url });
    await db.connect();
    const check = `ADD CONSTRAINT healthy CHECK (full_name <> 'poison')`;
    await db.query(`ALTER TABLE "${schema}".contacts_all ${check}`);
  }, 120_000);

  afterAll(async () => {
    await runner?.stop();
    await publisher?.close();
    await db?.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await db?.end();
  });

  const publish = (id: string, full_name: string) => {
    const value = contact(id, 1n, { full_name });
    return publisher.publish('contact.golden', { key: id, value });
  };
  const letters = async (replays: number) => {
    const found: DeadLetterInfo[] = [];
    await readDlq(client, dlqOf('contact.golden', 'postgres'), ({ info }) => void found.push(info));
    return found.filter(({ replayCount }) => replayCount === replays);
  };
  const rows = async () => {
    const { rows } = await db.query<{ id: string; full_name: string }>(
      `SELECT id, full_name FROM "${schema}".contacts_all ORDER BY id`,
    );
    return rows.map(({ id, full_name }) => `${id} ${full_name}`);
  };

  it('are shown, tried, patched and sent back; what fails again comes back as a new letter, within limits', async () => {
    await publish('a', 'good');
    for (const id of ['p1', 'p2', 'p3']) await publish(id, 'poison');
    await publish('z', 'a\u0000b');
    await eventually('four letters', async () => (await letters(0)).length === 4);

    const listed = await dlq(client, 'list');
    const [, kind = ''] =
      /^3 +(\w+) +contact\.golden .*POSTGRES_REJECTED/m.exec(listed.stdout) ?? [];
    expect(kind).not.toBe('');
    expect(listed.stdout).toMatch(/^1 +\w+ +contact\.golden .*INVALID_RECORD/m);
    const shown = await dlq(client, 'show', kind);
    expect(shown.stdout.match(/"full_name": "poison"/g)).toHaveLength(3);

    const unasked = await dlq(client, 'redrive');
    expect(unasked).toMatchObject({ code: 1, stdout: '' });
    expect(unasked.stderr).toMatch(/^3 +\w+ +contact\.golden +postgres\/\S+ +POSTGRES_REJECTED/m);
    expect(unasked.stderr).toMatch(/NOT_CONFIRMED.*all 4 letters/);

    const tried = await dlq(client, 'redrive', '--dry-run');
    expect(tried.stdout).toMatch(/contact\.golden\S+ +z .* fails +INVALID_RECORD/);
    expect(tried.stdout).toContain('3 unknown');
    const patch = join(mkdtempSync(join(tmpdir(), 'reachflow-patch-')), 'patch.ts');
    writeFileSync(patch, PATCH);
    const mended = await dlq(client, 'redrive', '--code', 'INVALID_RECORD', '--patch', patch);
    expect(mended.stdout).toContain('1 letters redriven');
    await eventually('the mended row', async () => (await rows()).includes('z mended'));

    expect((await dlq(client, 'redrive', kind)).stdout).toContain('3 letters redriven');
    await eventually('they failed again', async () => (await letters(1)).length === 3);
    const looped = await dlq(client, 'redrive', kind, '--max-replays', '1');
    expect(looped.stdout).toContain('No letters to redrive');
    expect(looped.stderr).toContain('3 letters came back 1 times already');

    await db.query(`ALTER TABLE "${schema}".contacts_all DROP CONSTRAINT healthy`);
    expect((await dlq(client, 'redrive', kind)).stdout).toContain('3 letters redriven');
    await eventually('all rows', async () => (await rows()).length === 5);
    expect(await rows()).toEqual(['a good', 'p1 poison', 'p2 poison', 'p3 poison', 'z mended']);
    expect((await dlq(client, 'list')).stdout).toContain('No dead letters');
  }, 300_000);
});

describe('a redrive that is killed', () => {
  it('is started again and sends nothing twice', async () => {
    const { client } = kafkaFixture();
    const count = 40_000;
    const specs = Array.from({ length: count }, (_, i) => {
      return { partition: i % 4, offset: i, key: `k${i % 500}` };
    });
    await writeLetters(client, 'event.recorded', 'postgres', specs);
    const args = [BIN, 'dlq', 'redrive', '--yes'];
    const first = spawn(process.execPath, args, { env: environment(client), stdio: 'pipe' });
    const exited = once(first, 'exit');
    // The first word of progress comes when its first transaction has committed, and others are on their way.
    first.stderr.on('data', (text: Buffer) => {
      if (text.includes(' letters, ')) first.kill('SIGKILL');
    });
    await exited;
    const again = await dlq(client, 'redrive', '--yes');
    expect(again.code).toBe(0);
    const sent: string[] = [];
    for (const partition of [0, 1, 2, 3]) {
      const records = await recordsOf(client, retryOf('event.recorded', 'postgres'), partition);
      sent.push(...records.map((record) => deadLetterInfo(record).offset));
    }
    expect(first.signalCode).toBe('SIGKILL');
    expect(sent).toHaveLength(count);
    expect(new Set(sent).size).toBe(count);
  }, 300_000);
});
