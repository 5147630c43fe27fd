import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordResult, Sink, SinkRecord } from '../runtime/delivery/sink.ts';
import { ReachflowError } from '../runtime/errors.ts';
import type { Contact } from '../schemas/types.ts';
import { batchOf, contact, contactRecord, HOSTILE_STRINGS } from './fixtures.ts';

/** Breaks and mends the way between the sinks of a harness and their store. */
export interface Outage {
  /** Connections are refused, open ones reset. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  /** Connections stay open and nothing passes. */
  freeze(): void;
  thaw(): void;
}

/** One sink on a fresh namespace of its real store. */
export interface SinkHarness {
  /**
   * A sink on the harness's namespace, going through `outage`; several at once are several processes. Its
   * timeouts are a few seconds, so that a frozen connection ends soon.
   */
  create(): Sink;
  /** The contact as a reader of the store sees it now; null when it is not there or deleted. */
  read(id: string): Promise<Contact | null>;
  /** Everything that the store keeps, deleted contacts too, in a fixed order: equal dumps are equal stores. */
  dump(): Promise<unknown>;
  readonly outage: Outage;
  /** Fields that the sink has to refuse before it sends, or the store after. */
  readonly poison: readonly PoisonCase[];
  /** Removes the namespace and releases what the harness holds. */
  destroy(): Promise<void>;
}

export interface PoisonCase {
  readonly name: string;
  readonly fields: Partial<Contact>;
  /** The code of the error that the record gets. */
  readonly code: string;
  /** What its message has to name. */
  readonly names: RegExp;
}

function statuses(results: readonly RecordResult[]): readonly string[] {
  return [...new Set(results.map((result) => result.status))];
}

async function deliver(sink: Sink, ...batch: readonly SinkRecord[]): Promise<void> {
  const results = await sink.write(batchOf(batch));
  const errors = results.flatMap((result) => ('error' in result ? [result.error] : []));
  expect(errors).toEqual([]);
  expect(results).toHaveLength(batch.length);
}

/** As the delivery runner does: what was only held by a record at fault is written without that one. */
export async function settle(
  sink: Sink,
  batch: readonly SinkRecord[],
): Promise<readonly RecordResult[]> {
  const settled = new Map<SinkRecord, RecordResult>();
  for (let left = batch; left.length > 0; ) {
    const results = await sink.write(batchOf(left));
    expect(results).toHaveLength(left.length);
    for (const [i, record] of left.entries()) {
      const result = results[i];
      if (result !== undefined && result.status !== 'held') settled.set(record, result);
    }
    const held = left.filter((record) => !settled.has(record));
    expect(held.length, 'held by nothing').toBeLessThan(left.length);
    left = held;
  }
  return batch.flatMap((record) => settled.get(record) ?? []);
}

/** As the delivery runner does: what is to be retried is, with a pause. Connections broken by an outage may fail once more. */
async function deliverAfterOutage(sink: Sink, batch: readonly SinkRecord[]): Promise<void> {
  let waiting = batch;
  for (let attempt = 0; attempt < 20 && waiting.length > 0; attempt++) {
    await sleep(50);
    const results = await sink.write(batchOf(waiting));
    expect(results.map((result) => result.status)).not.toContain('rejected');
    waiting = waiting.filter((_, i) => results[i]?.status !== 'delivered');
  }
  expect(waiting).toEqual([]);
}

/**
 * The behaviour that delivery relies on, for a sink of `contact.golden`, tested against its real store.
 * @param start makes a fresh namespace and the harness on it; called once.
 */
export function describeSinkConformance(name: string, start: () => Promise<SinkHarness>): void {
  describe(`${name} keeps the sink contract`, () => {
    let harness: SinkHarness;
    let sink: Sink;
    let ids = 0;
    const freshId = () => `c-${++ids}`;

    beforeAll(async () => {
      harness = await start();
      sink = harness.create();
      await sink.open();
    });

    afterAll(async () => {
      await sink.close();
      await harness.destroy();
    });

    const context: Context = { sink: () => sink, harness: () => harness, freshId };
    describeWrites(context);
    describeVersions(context);
    describeRejections(context);
    describeHostileStrings(context);
    describeOutages(context);
    describeClaims(context);
  });
}

interface Context {
  readonly sink: () => Sink;
  readonly harness: () => SinkHarness;
  readonly freshId: () => string;
}

function describeWrites({ sink, harness, freshId }: Context): void {
  it('writes and reads back every field', async () => {
    const full = freshId();
    const sparse = freshId();
    const nulls = {
      phone: null,
      company_id: null,
      company: null,
      company_domain: null,
      industry: null,
      tags: [],
      score: null,
    };
    await deliver(sink(), contactRecord(full, 1n), contactRecord(sparse, 1n, nulls));
    expect(await harness().read(full)).toEqual(contact(full, 1n));
    expect(await harness().read(sparse)).toEqual(contact(sparse, 1n, nulls));
  });

  it('takes an empty batch', async () => {
    expect(await sink().write(batchOf([]))).toEqual([]);
  });

  it('opens again, and beside another process, without changing anything', async () => {
    const before = await harness().dump();
    const others = [harness().create(), harness().create()];
    await Promise.all(others.map((other) => other.open()));
    await Promise.all(others.map((other) => other.close()));
    expect(await harness().dump()).toEqual(before);
  });

  it('leaves the store as it was when a batch is written twice', async () => {
    const batch = [
      ...Array.from({ length: 50 }, (_, i) => contactRecord(freshId(), BigInt(i + 1))),
      contactRecord(freshId(), 3n, null),
    ];
    await deliver(sink(), ...batch);
    const before = await harness().dump();
    await deliver(sink(), ...batch);
    await deliver(sink(), ...batch.slice(10, 40));
    expect(await harness().dump()).toEqual(before);
  });

  it('takes a batch larger than one request', async () => {
    const batch = Array.from({ length: 12_000 }, (_, i) =>
      contactRecord(`large-${i}`, 1n, { full_name: `Name ${i}` }),
    );
    await deliver(sink(), ...batch);
    for (const i of [0, 999, 1_000, 5_000, 11_999]) {
      expect(await harness().read(`large-${i}`)).toMatchObject({ full_name: `Name ${i}` });
    }
  });

  it('writes partitions concurrently', async () => {
    const batches = Array.from({ length: 20 }, (_, partition) =>
      Array.from({ length: 20 }, () => ({ ...contactRecord(freshId(), 1n), partition })),
    );
    await Promise.all(batches.map((batch) => deliver(sink(), ...batch)));
    const last = batches.flat().at(-1);
    expect(await harness().read(last?.key ?? '')).toEqual(last?.value);
  });
}

function describeVersions({ sink, harness, freshId }: Context): void {
  it('never replaces a newer version by an older one', async () => {
    const id = freshId();
    await deliver(sink(), contactRecord(id, 20n, { full_name: 'new' }));
    await deliver(sink(), contactRecord(id, 19n, { full_name: 'old' }));
    expect(await harness().read(id)).toMatchObject({ full_name: 'new', version: 20n });
  });

  it('tells versions beyond 2^53 apart', async () => {
    const id = freshId();
    const version = 2n ** 62n + 1n;
    await deliver(sink(), contactRecord(id, version, { full_name: 'first' }));
    await deliver(sink(), contactRecord(id, version + 1n, { full_name: 'second' }));
    await deliver(sink(), contactRecord(id, version - 1n, { full_name: 'third' }));
    expect(await harness().read(id)).toMatchObject({ full_name: 'second', version: version + 1n });
  });

  it('deletes on a tombstone, and a stale upsert does not resurrect', async () => {
    const id = freshId();
    await deliver(sink(), contactRecord(id, 1n));
    await deliver(sink(), contactRecord(id, 3n, null));
    expect(await harness().read(id)).toBeNull();
    await deliver(sink(), contactRecord(id, 2n));
    expect(await harness().read(id)).toBeNull();
  });

  it('keeps a tombstone of a contact that it never had', async () => {
    const id = freshId();
    await deliver(sink(), contactRecord(id, 5n, null));
    await deliver(sink(), contactRecord(id, 4n));
    expect(await harness().read(id)).toBeNull();
  });

  it('takes a contact again that is newer than its deletion', async () => {
    const id = freshId();
    await deliver(sink(), contactRecord(id, 1n));
    await deliver(sink(), contactRecord(id, 2n, null));
    await deliver(sink(), contactRecord(id, 3n, { full_name: 'again' }));
    expect(await harness().read(id)).toEqual(contact(id, 3n, { full_name: 'again' }));
  });

  it('keeps nothing personal of a deleted contact', async () => {
    const id = freshId();
    const secret = 'Very-Personal-Name';
    await deliver(sink(), contactRecord(id, 1n, { full_name: secret, tags: [secret] }));
    await deliver(sink(), contactRecord(id, 2n, null));
    expect(JSON.stringify(await harness().dump(), jsonable)).not.toContain(secret);
  });

  it('takes one key several times in a batch: the newest version wins', async () => {
    const [a, b] = [freshId(), freshId()];
    await deliver(
      sink(),
      contactRecord(a, 1n),
      contactRecord(b, 1n),
      contactRecord(a, 5n, { full_name: 'newest' }),
      contactRecord(b, 2n, null),
      contactRecord(a, 4n, { full_name: 'late' }),
    );
    expect(await harness().read(a)).toMatchObject({ full_name: 'newest', version: 5n });
    expect(await harness().read(b)).toBeNull();
  });
}

function describeRejections({ sink, harness, freshId }: Context): void {
  it('rejects one poison record among 1,000 alone', async () => {
    expect(harness().poison.length).toBeGreaterThan(0);
    for (const { name, fields, code, names } of harness().poison) {
      const batch = Array.from({ length: 1_000 }, (_, i) =>
        contactRecord(freshId(), 1n, i === 617 ? fields : {}),
      );
      const results = await settle(sink(), batch);
      const rejected = results.flatMap((result, i) => (result.status === 'delivered' ? [] : [i]));
      expect(rejected, name).toEqual([617]);
      const poison = results[617];
      if (poison?.status !== 'rejected') throw new Error(`${name}: not rejected`);
      expect(poison.error, name).toBeInstanceOf(ReachflowError);
      expect(poison.error.code, name).toBe(code);
      expect(poison.error.retry, name).toBe('none');
      expect(poison.error.message, name).toMatch(names);
      expect(poison.error.hint, name).toBeDefined();
      for (const i of [0, 616, 618, 999]) {
        expect(await harness().read(batch[i]?.key ?? ''), name).toEqual(batch[i]?.value);
      }
      expect(await harness().read(batch[617]?.key ?? ''), name).toBeNull();
    }
  });

  it('writes the good earlier version when the newest of a key is poison', async () => {
    for (const { name, fields } of harness().poison) {
      const id = freshId();
      const results = await settle(sink(), [
        contactRecord(id, 1n, { full_name: 'first' }),
        contactRecord(id, 2n, { full_name: 'good' }),
        contactRecord(id, 3n, fields),
      ]);
      const expected = ['delivered', 'delivered', 'rejected'];
      expect(
        results.map((result) => result.status),
        name,
      ).toEqual(expected);
      expect(await harness().read(id), name).toMatchObject({ full_name: 'good', version: 2n });
    }
  });

  it('rejects what it cannot order or find again', async () => {
    const id = freshId();
    const results = await settle(sink(), [
      { ...contactRecord(id, 1n), key: 'another' },
      { ...contactRecord('', 1n), key: '' },
      contactRecord(id, -1n),
      contactRecord(id, 2n ** 63n),
      { ...contactRecord(id, 1n), value: { id, full_name: 7 } },
      contactRecord(freshId(), 1n),
    ]);
    const codes = results.map((result) => ('error' in result ? result.error.code : ''));
    expect(codes).toEqual([...Array.from({ length: 5 }, () => 'INVALID_RECORD'), '']);
    expect(await harness().read(id)).toBeNull();
  });
}

function describeHostileStrings({ sink, harness, freshId }: Context): void {
  for (const [name, text] of Object.entries(HOSTILE_STRINGS)) {
    it(`keeps as it is, or rejects, ${name}`, async () => {
      const id = freshId();
      const fields = {
        full_name: text,
        email: text,
        phone: text,
        company: text,
        tags: [text, 'x'],
      };
      const results = await settle(sink(), [
        contactRecord(id, 1n, fields),
        contactRecord(freshId(), 1n),
      ]);
      expect(results[1]?.status).toBe('delivered');
      const [result] = results;
      expect(result?.status).not.toBe('retry');
      if (result?.status === 'rejected') {
        expect(result.error.message).toMatch(/full_name/);
        expect(await harness().read(id)).toBeNull();
      } else {
        expect(await harness().read(id)).toEqual(contact(id, 1n, fields));
      }
    });

    it(`keeps as a key, or rejects, ${name}`, async () => {
      const id = `${freshId()}-${text}`;
      const [result] = await settle(sink(), [contactRecord(id, 1n)]);
      expect(result?.status).not.toBe('retry');
      if (result?.status === 'rejected') return;
      expect(await harness().read(id)).toEqual(contact(id, 1n));
      await deliver(sink(), contactRecord(id, 2n, null));
      expect(await harness().read(id)).toBeNull();
    });
  }
}

function describeOutages({ sink, harness, freshId }: Context): void {
  it('answers retry for every record while the store is unreachable, then delivers', async () => {
    const batch = Array.from({ length: 30 }, () => contactRecord(freshId(), 1n));
    await harness().outage.cut();
    try {
      const results = await sink().write(batchOf(batch));
      expect(results).toHaveLength(batch.length);
      expect(statuses(results)).toEqual(['retry']);
      const [first] = results;
      if (first?.status !== 'retry') throw new Error('not retry');
      expect(first.error).toMatchObject({ domain: 'external', retry: 'backoff' });
    } finally {
      await harness().outage.restore();
    }
    await deliverAfterOutage(sink(), batch);
    expect(await harness().read(batch[0]?.key ?? '')).toEqual(batch[0]?.value);
  });

  it('rejects an invalid record even then: the store has no say in it', async () => {
    await harness().outage.cut();
    try {
      const results = await settle(sink(), [
        contactRecord(freshId(), -1n),
        contactRecord(freshId(), 1n),
      ]);
      expect(results.map((result) => result.status)).toEqual(['rejected', 'retry']);
    } finally {
      await harness().outage.restore();
    }
  });

  it('answers retry when the connection hangs, and delivers afterwards', async () => {
    const batch = Array.from({ length: 5 }, () => contactRecord(freshId(), 1n));
    await deliverAfterOutage(sink(), [contactRecord(freshId(), 1n)]);
    harness().outage.freeze();
    try {
      expect(statuses(await sink().write(batchOf(batch)))).toEqual(['retry']);
    } finally {
      harness().outage.thaw();
    }
    await deliverAfterOutage(sink(), batch);
    expect(await harness().read(batch[0]?.key ?? '')).toEqual(batch[0]?.value);
  });

  it('open throws retry: backoff while the store is unreachable, and works once it is back', async () => {
    const late = harness().create();
    await harness().outage.cut();
    try {
      const error = await late.open().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ReachflowError);
      expect(error).toMatchObject({ domain: 'external', retry: 'backoff' });
    } finally {
      await harness().outage.restore();
    }
    await late.open();
    await deliverAfterOutage(late, [contactRecord(freshId(), 1n)]);
    await late.close();
  });
}

/** What only `transactional` sinks promise. */
function describeClaims({ sink, harness, freshId }: Context): void {
  let partitions = 0;
  /** A partition that nobody has claimed yet. */
  const fresh = () => {
    partitions += 1;
    return { topic: 'contact.golden', partition: 1_000 + partitions };
  };
  const isTransactional = () => sink().mode === 'transactional';
  const fenced = { code: 'SINK_FENCED' };

  it('keeps the position with the rows, and fences whoever claimed before', async () => {
    if (!isTransactional()) return;
    const of = fresh();
    const claim = async () => {
      const claimed = await sink().claim?.(of.topic, of.partition);
      if (claimed === undefined) throw new Error('a transactional sink has no claim');
      return claimed;
    };
    const record = { ...contactRecord(freshId(), 1n), ...of };
    const first = await claim();
    expect(first.position).toBeUndefined();
    const range = { start: 5n, end: 9n, epoch: first.epoch, origin: '' };
    expect(statuses(await sink().write({ ...of, range, records: [record] }))).toEqual([
      'delivered',
    ]);
    const second = await claim();
    expect(second.position).toBe(9n);
    expect(second.epoch).toBeGreaterThan(first.epoch);
    const late = { ...contactRecord(freshId(), 1n), ...of };
    const stale = { start: 9n, end: 12n, epoch: first.epoch, origin: '' };
    await expect(sink().write({ ...of, range: stale, records: [late] })).rejects.toMatchObject(
      fenced,
    );
    const repeated = { start: 5n, end: 9n, epoch: second.epoch, origin: '' };
    await expect(sink().write({ ...of, range: repeated, records: [late] })).rejects.toMatchObject(
      fenced,
    );
    expect(await harness().read(late.key)).toBeNull();
    const empty = { start: 9n, end: 12n, epoch: second.epoch, origin: '' };
    expect(await sink().write({ ...of, range: empty, records: [] })).toEqual([]);
    expect(await claim()).toMatchObject({ position: 12n });
  });

  it('writes all of a range or nothing: what is well is held by what is not', async () => {
    if (!isTransactional()) return;
    const of = fresh();
    const claimed = await sink().claim?.(of.topic, of.partition);
    const range = { start: 0n, end: 2n, epoch: claimed?.epoch ?? 0n, origin: '' };
    const [good, bad] = [
      { ...contactRecord(freshId(), 1n), ...of },
      { ...contactRecord(freshId(), 1n, harness().poison[0]?.fields), ...of },
    ];
    const results = await sink().write({ ...of, range, records: [good, bad] });
    expect(results.map(({ status }) => status)).toEqual(['held', 'rejected']);
    expect(await harness().read(good.key)).toBeNull();
    expect(statuses(await sink().write({ ...of, range, records: [good] }))).toEqual(['delivered']);
    expect(await harness().read(good.key)).toEqual(good.value);
  });

  it('throws retry: backoff for an empty range while the store is unreachable', async () => {
    if (!isTransactional()) return;
    const of = fresh();
    const claimed = await sink().claim?.(of.topic, of.partition);
    const range = { start: 0n, end: 2n, epoch: claimed?.epoch ?? 0n, origin: '' };
    await harness().outage.cut();
    try {
      await expect(sink().write({ ...of, range, records: [] })).rejects.toMatchObject({
        retry: 'backoff',
      });
    } finally {
      await harness().outage.restore();
    }
  });
}

/** A replacer for JSON.stringify that takes bigints. */
export function jsonable(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
