import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { dlqOf, retryOf } from '../../schemas/topics.ts';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { type LetterSpec, recordsOf, writeLetters } from '../../tests/support/letters.ts';
import { ensureTopics } from '../kafka/admin.ts';
import { createPublisher } from '../kafka/batching-publisher.ts';
import { planTopics } from '../topic-plan.ts';
import { deadLetterInfo } from './dead-letter.ts';
import type { DeadLetter } from './letter.ts';
import { type RunOptions, runRedrive } from './redrive.ts';
import { planRedrive, type SelectLetters } from './redrive-plan.ts';
import { type AuditEntry, Resolutions, readAudit } from './resolutions.ts';

const TOPIC = 'event.recorded';
const PARTITIONS = [0, 1, 2, 3];
const everything: SelectLetters = (letters) => Promise.resolve(letters);

type Client = ReturnType<typeof kafkaFixture>['client'];

async function plan(client: Client, consumer: string, select = everything, maxReplays = 3) {
  const resolutions = await Resolutions.read(client);
  const dlqs = [dlqOf(TOPIC, consumer)];
  return planRedrive(client, resolutions, { dlqs, select, maxReplays, sends: true });
}

async function run(client: Client, consumer: string, options: Partial<RunOptions> = {}) {
  const { select = everything, maxReplays = 3 } = options;
  const planned = options.plan ?? (await plan(client, consumer, select, maxReplays));
  const audit = { run: randomUUID(), actor: 'test', selection: {}, force: false } as const;
  return runRedrive(client, {
    audit: { ...audit, resolution: 'redriven' },
    maxReplays,
    transactionLetters: 2_000,
    ...options,
    select,
    plan: planned,
  });
}

/** Offsets of the records that failed, as they were sent back, by partition. */
async function sent(client: Client, consumer: string): Promise<string[][]> {
  const topic = retryOf(TOPIC, consumer);
  return Promise.all(
    PARTITIONS.map(async (partition) => {
      const records = await recordsOf(client, topic, partition);
      return records.map((record) => deadLetterInfo(record).offset);
    }),
  );
}

const numbered = (count: number): LetterSpec[] =>
  Array.from({ length: count }, (_, i) => ({ partition: i % 4, offset: i, key: `k${i % 50}` }));
const expectedOf = (specs: readonly LetterSpec[]) =>
  PARTITIONS.map((own) =>
    specs.filter(({ partition }) => partition === own).map(({ offset }) => String(offset)),
  );

describe('redrive on a real broker', () => {
  it('sends each letter once to its consumer alone, with one more replay, as it was otherwise', async () => {
    const { client } = kafkaFixture();
    const specs = numbered(200);
    await writeLetters(client, TOPIC, 'a', [...specs, ...specs.slice(-40)]);
    expect(await run(client, 'a')).toEqual({ letters: 200, left: 0 });
    expect(await sent(client, 'a')).toEqual(expectedOf(specs));
    const [record] = await recordsOf(client, retryOf(TOPIC, 'a'), 1);
    expect(record?.key?.toString()).toBe('k1');
    expect(record?.value?.toString()).toBe('k1');
    if (record === undefined) throw new Error('nothing was sent');
    const info = deadLetterInfo(record);
    expect(info).toMatchObject({ topic: TOPIC, consumer: 'a', offset: '1', replayCount: 1 });
    expect(Number(record.headers['__reachflow.retry.due'])).toBeLessThanOrEqual(Date.now());
    expect(await run(client, 'a')).toEqual({ letters: 0, left: 0 });
  });

  it('goes on where it was interrupted, and sends nothing twice', async () => {
    const { client } = kafkaFixture();
    const specs = numbered(12_000);
    await writeLetters(client, TOPIC, 'a', specs);
    let commits = 0;
    const crash = () => {
      commits += 1;
      if (commits === 2) throw new Error('interrupted');
    };
    await expect(run(client, 'a', { onProgress: crash })).rejects.toThrow('interrupted');
    const before = (await sent(client, 'a')).flat().length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(specs.length);
    await run(client, 'a');
    expect(await sent(client, 'a')).toEqual(expectedOf(specs));
  });

  it('is one at a time: a second one fences the first, and between them nothing is sent twice', async () => {
    const { client } = kafkaFixture();
    const specs = numbered(12_000);
    await writeLetters(client, TOPIC, 'a', specs);
    const planned = await plan(client, 'a');
    let second: Promise<unknown> | undefined;
    const first = run(client, 'a', {
      plan: planned,
      onProgress: () => {
        second ??= run(client, 'a', { plan: planned });
      },
    });
    await expect(first).rejects.toMatchObject({ code: 'FENCED' });
    await second;
    expect(await sent(client, 'a')).toEqual(expectedOf(specs));
  });

  it('sends what failed again before younger records of its key', async () => {
    const { client } = kafkaFixture();
    const specs = [5, 9, 20].map((offset) => ({ partition: 0, offset, key: 'k' }));
    const again = { partition: 0, offset: 7, key: 'k', replays: 1 };
    await writeLetters(client, TOPIC, 'a', [...specs, again]);
    await run(client, 'a');
    expect((await sent(client, 'a'))[0]).toEqual(['5', '7', '9', '20']);
  });

  it('leaves out what came back too often, unless it is told to', async () => {
    const { client } = kafkaFixture();
    const specs = [0, 1, 2, 3].map((replays) => ({
      partition: 0,
      offset: replays,
      key: 'k',
      replays,
    }));
    await writeLetters(client, TOPIC, 'a', specs);
    expect(await plan(client, 'a')).toMatchObject({ letters: 3, guarded: 1 });
    expect(await run(client, 'a')).toMatchObject({ letters: 3 });
    expect(await run(client, 'a', { maxReplays: Number.POSITIVE_INFINITY })).toMatchObject({
      letters: 1,
    });
  });

  it('sends patched values, and leaves what the patch leaves', async () => {
    const { client } = kafkaFixture();
    await writeLetters(client, TOPIC, 'a', numbered(8));
    const patch = (letters: readonly DeadLetter[]) =>
      Promise.resolve(
        letters.map(({ info }) => (Number(info.offset) < 4 ? Buffer.from('mended') : undefined)),
      );
    expect(await run(client, 'a', { patch })).toEqual({ letters: 4, left: 4 });
    const records = await recordsOf(client, retryOf(TOPIC, 'a'), 0);
    expect(records.map(({ value }) => value?.toString())).toEqual(['mended']);
    expect(await run(client, 'a')).toMatchObject({ letters: 4 });
  });

  it('sends the whole record of a letter that is not, or says that it is gone', async () => {
    const { client, codec } = kafkaFixture();
    await ensureTopics(client, planTopics([], [{ name: 'a', topics: [TOPIC] }], 4));
    const publisher = await createPublisher(client, codec);
    const timestamp = 1_767_225_600_000;
    const whole = { topic: TOPIC, partition: 0, key: 'k', value: Buffer.from('whole'), timestamp };
    await publisher.publishRaw(whole);
    await publisher.publishRaw({ ...whole, value: Buffer.from('another') });
    await publisher.close();
    const of = { partition: 0, key: 'k', truncated: true };
    await writeLetters(client, TOPIC, 'a', [{ ...of, offset: 0 }], () => Buffer.from('who'));
    expect(await run(client, 'a')).toMatchObject({ letters: 1 });
    const [back] = await recordsOf(client, retryOf(TOPIC, 'a'), 0);
    expect(back?.value?.toString()).toBe('whole');
    // One is beyond the end, one of another record that has its offset now.
    for (const offset of [7, 1]) {
      await writeLetters(client, TOPIC, 'a', [{ ...of, offset }]);
      await expect(run(client, 'a')).rejects.toMatchObject({ code: 'LETTER_TRUNCATED' });
      const audit = { run: 'r', actor: 'test', selection: {}, force: false } as const;
      await run(client, 'a', { audit: { ...audit, resolution: 'dropped' } });
    }
  });

  it('drops what is selected without sending it, and writes down who did what', async () => {
    const { client } = kafkaFixture();
    const [good, bad] = [
      { partition: 0, offset: 1, key: 'k' },
      { partition: 0, offset: 2, key: 'k', code: 'HOPELESS' },
    ];
    await writeLetters(client, TOPIC, 'a', [good, bad]);
    const select: SelectLetters = (letters) =>
      Promise.resolve(letters.filter(({ info }) => info.code === 'HOPELESS'));
    const audit = { run: 'r1', actor: 'me@here', selection: { code: 'HOPELESS' }, force: false };
    await run(client, 'a', { select, audit: { ...audit, resolution: 'dropped' } });
    const entries: AuditEntry[] = [];
    await readAudit(client, (entry) => entries.push(entry));
    expect(entries).toMatchObject([
      {
        kind: 'run',
        actor: 'me@here',
        resolution: 'dropped',
        letters: 1,
        selection: { code: 'HOPELESS' },
      },
      {
        kind: 'resolved',
        resolution: 'dropped',
        dlq: dlqOf(TOPIC, 'a'),
        partition: 0,
        ranges: [[1, 1]],
      },
      { kind: 'end', letters: 1 },
    ]);
    expect(await run(client, 'a')).toMatchObject({ letters: 1 });
    expect((await sent(client, 'a'))[0]).toEqual(['1']);
  });
});
