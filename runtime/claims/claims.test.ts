import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainType, readerSchemaText } from '../../schemas/avro.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import type { PayloadRef } from '../../schemas/payloads.ts';
import { topics } from '../../schemas/topics.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import { DirectoryStorage } from '../checkpoint/directory-storage.ts';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import type { Publisher } from '../kafka/publisher.ts';
import { ClaimReader } from './claim-reader.ts';
import { ClaimWriter } from './claim-writer.ts';
import { claimCheckConfigSchema } from './config.ts';
import { claimCheckingPublisher } from './publisher.ts';
import { sweepClaims } from './sweep.ts';

const TOPIC = 'webhook.received';
const DAY_MS = 86_400_000;
const THRESHOLD = 4_096;
const logger = pino({ level: 'silent' });
const writer = plainType(readerSchemaText(TOPIC));
/** As the schema was before payloads could be elsewhere. */
const before = plainType(withoutRef(readerSchemaText(TOPIC)));
const registry = {
  register: () => Promise.resolve(1),
  writerType: (id: number) => Promise.resolve(id === 1 ? writer : before),
};
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reachflow-claims-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function withoutRef(text: string): string {
  const schema = JSON.parse(text) as { fields: { name: string }[] };
  const fields = schema.fields.filter(({ name }) => name !== 'payload_ref');
  return JSON.stringify({ ...schema, fields });
}

function event(payload: string, id = 'e'): WebhookReceived {
  return {
    ...{ event_id: id, tenant_id: 't', source: 's', event_type: 'x', delivery_id: id },
    ...{ entity_id: 'c', occurred_at: null, received_at: 1, payload },
  };
}

interface Setup {
  readonly storage?: CheckpointStorage;
  readonly clock?: () => number;
  readonly cacheBytes?: number;
  readonly inner?: Publisher;
}

/** A claim check in a directory of its own; what is published is kept as bytes. */
async function setup({ storage, clock = Date.now, cacheBytes = 0, inner }: Setup = {}) {
  const root = await mkdtemp(join(dir, 'store-'));
  const config = claimCheckConfigSchema.parse({ cacheBytes, writeTimeoutMs: 200 });
  const used = storage ?? new DirectoryStorage(root);
  const claimWriter = new ClaimWriter({ storage: used, config, logger, clock });
  const reader = new ClaimReader({ storage: used, config, clock });
  const codec = new TopicCodec(registry, (name) => name, reader);
  await codec.register([TOPIC]);
  const published: Buffer[] = [];
  const keeping: Publisher = {
    async publish(topic, { value }) {
      published.push(codec.encode(topic, value));
    },
  };
  const publisher = claimCheckingPublisher(inner ?? keeping, claimWriter);
  const publish = (payload: string, key = 'k', id = 'e') =>
    publisher.publish(TOPIC, { key, value: event(payload, id) });
  const read = async (): Promise<WebhookReceived[]> => {
    await codec.load(TOPIC, published);
    const payloads = await codec.allPayloads(TOPIC, published);
    return published.map((bytes) => codec.decode(TOPIC, bytes, payloads));
  };
  return { root, codec, publisher, publish, published, read, reader, claimWriter, storage: used };
}

async function filesIn(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

function refOf(bytes: Buffer): PayloadRef {
  const value = writer.fromBuffer(bytes.subarray(5)) as { payload_ref: PayloadRef };
  return value.payload_ref;
}

/** A storage that does what a test says before each put. */
function withPut(storage: CheckpointStorage, put: () => Promise<void>): CheckpointStorage {
  return Object.assign(Object.create(storage) as CheckpointStorage, {
    location: storage.location,
    putBytes: async (key: string, bytes: Buffer) => {
      await put();
      await storage.putBytes(key, bytes);
    },
    getBytes: storage.getBytes.bind(storage),
  });
}

describe('payloads', () => {
  it('come back as they were, whatever their size and characters', async () => {
    const { publish, published, read, root } = await setup();
    const length = fc.oneof(
      fc.integer({ min: THRESHOLD - 3, max: THRESHOLD + 3 }),
      fc.integer({ min: 0, max: 3 * THRESHOLD }),
    );
    const unit = fc.constantFrom('a', 'é', '€', '😀', '\u0000', '"', '1');
    const sent: string[] = [];
    await fc.assert(
      fc.asyncProperty(length, unit, fc.string(), async (bytes, filler, end) => {
        const size = Buffer.byteLength(filler);
        const payload = filler.repeat(Math.ceil(bytes / size)) + end.toWellFormed();
        await publish(payload);
        sent.push(payload);
        const isLarge = Buffer.byteLength(payload) > THRESHOLD;
        expect((published.at(-1)?.length ?? 0) < 300 || !isLarge).toBe(true);
      }),
      { numRuns: 200 },
    );
    expect((await read()).map(({ payload }) => payload)).toEqual(sent);
    const distinct = new Set(sent.filter((text) => Buffer.byteLength(text) > THRESHOLD));
    expect((await filesIn(root)).length).toBe(distinct.size);
    expect(distinct.size).toBeGreaterThan(20);
  });

  it('are told by the last byte, in this schema and the one before', async () => {
    const { fields } = JSON.parse(readerSchemaText(TOPIC)) as {
      fields: { name: string; type: [string, { fields: { name: string }[] }] }[];
    };
    expect(fields.at(-1)?.name).toBe('payload_ref');
    expect(fields.at(-1)?.type[1].fields.at(-1)?.name).toBe('bytes');
    const { codec, publish, published } = await setup();
    await publish('x'.repeat(9_000));
    await publish('{}');
    const old = Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), before.toBuffer(event('{"a":1}'))]);
    const values = [...published, old, null, Buffer.from('no record')];
    expect(values.map((value) => value?.at(-1) === 0)).toEqual([false, true, false, false, false]);
    await codec.load(TOPIC, values);
    const payloads = await codec.allPayloads(TOPIC, values);
    const texts = values.slice(0, 3).map((value) => {
      const { payload } = codec.decode(TOPIC, value ?? Buffer.alloc(0), payloads);
      return payload.length;
    });
    expect(texts).toEqual([9_000, 2, 7]);
  });

  it('are written once, however often and at once they come', async () => {
    const { publish, root, read } = await setup();
    const payload = 'p'.repeat(5_000);
    await Promise.all(Array.from({ length: 20 }, () => publish(payload)));
    await publish(payload);
    expect((await filesIn(root)).length).toBe(1);
    expect((await read()).length).toBe(21);
  });

  it('are never taken for what they are not: any byte that is changed, cut or added is found', async () => {
    const { publish, published, root, reader } = await setup();
    await publish(JSON.stringify({ text: 'é'.repeat(3_000) }));
    const [file = ''] = await filesIn(root);
    const whole = await readFile(file);
    const ref = refOf(published[0] ?? Buffer.alloc(0));
    const damaged = [
      whole.subarray(0, -1),
      Buffer.concat([whole, Buffer.from('x')]),
      Buffer.alloc(0),
    ];
    for (const at of [0, 1, 2_500, whole.length - 1]) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      damaged.push(flipped);
    }
    for (const bytes of damaged) {
      await writeFile(file, bytes);
      await expect(reader.read(ref)).rejects.toMatchObject({
        code: 'CLAIM_CORRUPT',
        retry: 'none',
      });
    }
    await writeFile(file, whole);
    expect(await reader.read(ref)).toBe(whole.toString());
  });

  it('are waited for while they are not there, and given up once their time is over', async () => {
    let now = Date.UTC(2026, 10, 21);
    const { publish, published, root, codec } = await setup({ clock: () => now });
    await publish('x'.repeat(9_000));
    const ref = refOf(published[0] ?? Buffer.alloc(0));
    await rm(root, { recursive: true });
    await codec.load(TOPIC, published);
    await expect(codec.allPayloads(TOPIC, published)).rejects.toMatchObject({
      code: 'CLAIM_NOT_FOUND',
      retry: 'backoff',
      message: expect.stringMatching(`${ref.sha256}.*${root}`),
    });
    now += 36 * DAY_MS + 1;
    const payloads = await codec.allPayloads(TOPIC, published);
    const decode = () => codec.decode(TOPIC, published[0] ?? Buffer.alloc(0), payloads);
    expect(decode).toThrow(expect.objectContaining({ code: 'CLAIM_EXPIRED', retry: 'none' }));
  });

  it('of a batch are read a few MB at a time, up to the first that is not there', async () => {
    const { publish, published, codec, root } = await setup();
    for (let i = 0; i < 10; i += 1) await publish(String(i).repeat(10_000));
    await publish('{}');
    await codec.load(TOPIC, published);
    expect((await codec.payloads(TOPIC, published, 0, 25_000)).end).toBe(2);
    expect((await codec.payloads(TOPIC, published, 2, 25_000)).end).toBe(4);
    expect((await codec.payloads(TOPIC, published, 0, 1)).end).toBe(1);
    expect((await codec.payloads(TOPIC, published, 10, 1)).end).toBe(11);
    const { sha256 } = refOf(published[3] ?? Buffer.alloc(0));
    const gone = (await filesIn(root)).find((file) => file.endsWith(sha256)) ?? '';
    await rm(gone);
    const payloads = await codec.payloads(TOPIC, published);
    expect(payloads).toMatchObject({ end: 3, failure: { code: 'CLAIM_NOT_FOUND' } });
  });

  it('refuse a reference that nobody of us wrote', async () => {
    const { reader } = await setup();
    for (const sha256 of ['../../etc/passwd', 'A'.repeat(64), '']) {
      const ref = { sha256, day: 1, bytes: 1 };
      await expect(reader.read(ref)).rejects.toMatchObject({
        code: 'CLAIM_INVALID',
        retry: 'none',
      });
    }
  });
});

describe('a publisher with a claim check', () => {
  it('keeps the order of a key, however long a payload takes to be stored', async () => {
    const order: string[] = [];
    const inner: Publisher = {
      async publish(_topic, { value }) {
        order.push((value as WebhookReceived).event_id);
      },
    };
    let puts = 0;
    const storage = withPut(new DirectoryStorage(join(dir, 'slow')), async () => {
      puts += 1;
      await delay(puts === 1 ? 100 : 0);
    });
    const { publish } = await setup({ inner, storage });
    const sent = ['1', '2', '3', '4', '5'];
    const acks = sent.map((id) =>
      publish(id === '1' || id === '4' ? id.repeat(9_000) : id, 'k', id),
    );
    const other = publish('small', 'other key', 'other');
    await Promise.all([...acks, other]);
    expect(order[0]).toBe('other');
    expect(order.slice(1)).toEqual(sent);
  });

  it('publishes a payload as it is while the storage fails or hangs, and goes back to it', async () => {
    let now = 1_000_000;
    let mode: 'fails' | 'hangs' | 'works' = 'fails';
    const root = join(dir, 'sick');
    let puts = 0;
    const storage = withPut(new DirectoryStorage(root), async () => {
      puts += 1;
      if (mode === 'fails') throw new Error('no space left');
      if (mode === 'hangs') await delay(1_000);
    });
    const { publish, published, read } = await setup({ storage, clock: () => now });
    const payload = (i: number) => String(i).repeat(9_000);
    await publish(payload(1));
    await publish(payload(2));
    expect(puts).toBe(1);
    mode = 'hangs';
    now += 5_000;
    await publish(payload(3));
    expect(puts).toBe(2);
    mode = 'works';
    now += 5_000;
    await publish(payload(4));
    expect(published.map((bytes) => bytes.length > 9_000)).toEqual([true, true, true, false]);
    const texts = (await read()).map(({ payload: text }) => text);
    expect(texts).toEqual([1, 2, 3, 4].map(payload));
  });

  it('fails where the publisher behind it fails', async () => {
    const inner: Publisher = { publish: () => Promise.reject(new Error('no broker')) };
    const { publish } = await setup({ inner });
    await expect(publish('x'.repeat(9_000))).rejects.toThrow('no broker');
    await expect(publish('x')).rejects.toThrow('no broker');
  });
});

describe('a sweep', () => {
  it('removes whole days that are over for longer than the retention, and nothing else', async () => {
    const start = Date.UTC(2026, 0, 1, 12);
    let now = start;
    const { publish, published, storage, root, reader } = await setup({ clock: () => now });
    for (let day = 0; day < 5; day += 1) {
      now = start + day * DAY_MS;
      await publish('same every day'.repeat(1_000));
      await publish(`of day ${day}`.repeat(1_000));
    }
    await writeFile(join(root, 'not-ours'), 'x');
    await storage.putBytes('other/a', Buffer.from('x'));
    // 30 days after the end of the second day, exactly.
    const options = { retentionDays: 30, now: Date.UTC(2026, 0, 3) + 30 * DAY_MS };
    const expected = { days: ['2026-01-01', '2026-01-02'], objects: 4 };
    expect(
      await sweepClaims(storage, { ...options, now: options.now - 1, dryRun: true }),
    ).toMatchObject({
      days: ['2026-01-01'],
      objects: 2,
    });
    expect(await sweepClaims(storage, { ...options, dryRun: true })).toMatchObject(expected);
    expect((await filesIn(root)).length).toBe(12);
    expect(await sweepClaims(storage, options)).toMatchObject(expected);
    expect((await filesIn(root)).length).toBe(8);
    expect(await sweepClaims(storage, options)).toMatchObject({ days: [], objects: 0 });
    const outcomes = await Promise.allSettled(published.map((bytes) => reader.read(refOf(bytes))));
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
      true,
      true,
      true,
      true,
    ]);
  });
});

describe('the retention', () => {
  it('is longer than a record may be in its topic, retry topic and DLQ', () => {
    const { retentionDays } = claimCheckConfigSchema.parse({});
    expect(retentionDays * DAY_MS).toBeGreaterThanOrEqual(topics[TOPIC].retentionMs + 28 * DAY_MS);
    const short = claimCheckConfigSchema.safeParse({ retentionDays: 20 });
    expect(short.success).toBe(false);
  });
});
