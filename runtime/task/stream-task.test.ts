import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changelogOf } from '../../schemas/topics.ts';
import { deadLetterInfo } from '../delivery/dead-letter.ts';
import type { TaskStateOptions } from '../state/task-state.ts';
import { MemoryCodec } from '../testing/memory-codec.ts';
import { type CrashHook, MemoryLog } from '../testing/memory-log.ts';
import { emptyBackend, feed, openMemoryTask } from '../testing/memory-task.ts';
import { contact, MINUTE, shown, T0, webhook } from '../testing/samples.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { groupOf, type SubTopology } from '../topology/graph.ts';
import { ok, retryLater } from '../topology/outcome.ts';
import type { StreamTask } from './stream-task.ts';

/** A task over a log in memory: what an epoch commits, and who may. */

let codec: MemoryCodec;
let log: MemoryLog;

beforeAll(async () => {
  codec = await MemoryCodec.create();
});

beforeEach(() => {
  log = new MemoryLog(() => 1);
});

const INPUT = 'webhook.received';

function deduplicating(t: TopologyBuilder): void {
  t.stream(INPUT)
    .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
    .map('show', ({ event_id }) => shown(event_id))
    .to('event.recorded');
}

function subOf(declare: (t: TopologyBuilder) => void): SubTopology {
  const [sub] = defineTopology('p', declare).subTopologies;
  if (sub === undefined) throw new Error('no sub-topology');
  return sub;
}

const SUB = subOf(deduplicating);
const GROUP = groupOf('p', SUB.name);
const CHANGELOG = changelogOf('p', SUB.name);

interface Options {
  readonly sub?: SubTopology;
  readonly hook?: CrashHook;
  readonly maxEpochRecords?: number;
  readonly backend?: ReturnType<typeof emptyBackend>;
  readonly now?: () => number;
  readonly limits?: ReadonlyMap<string, number>;
  readonly state?: TaskStateOptions;
  readonly onBoundary?: (offset: bigint) => Promise<void>;
}

function open({
  sub = SUB,
  maxEpochRecords = 1_000,
  ...options
}: Options = {}): Promise<StreamTask> {
  return openMemoryTask({
    log,
    codec: codec.codec,
    pipeline: 'p',
    sub,
    partition: 0,
    tables: new Map(),
    channelsOf: () => 1,
    now: () => T0,
    maxEpochRecords,
    state: { flushEntries: 1 },
    ...options,
  });
}

function send(...ids: string[]): void {
  for (const event_id of ids) {
    const value = codec.encode(INPUT, webhook({ event_id }));
    log.append(INPUT, 0, { key: 'k', value, timestamp: T0 });
  }
}

function written(): string[] {
  return log
    .readTopic('event.recorded')
    .map(({ record }) =>
      JSON.parse(codec.decode('event.recorded', record.value ?? Buffer.alloc(0)).payload),
    );
}

describe('an epoch', () => {
  it('is one transaction: outputs, changelog and positions', async () => {
    const task = await open();
    const { epochs } = task.counters;
    const before = log.high(CHANGELOG, 0);
    send('a', 'b');
    await feed(task, log, INPUT);
    expect(written()).toEqual(['a', 'b']);
    expect(log.committed(GROUP, INPUT, 0)).toBe(2n);
    // One segment, and the transaction's marker.
    expect(log.high(CHANGELOG, 0)).toBe(before + 2n);
    expect(task.counters.epochs).toBe(epochs + 1);
    expect(task.state.position).toBe(before + 1n);
  });

  it('has at most maxEpochRecords records, and commits where it ends', async () => {
    const positions: (bigint | undefined)[] = [];
    const hook: CrashHook = (point) => {
      if (point === 'after-end') positions.push(log.committed(GROUP, INPUT, 0));
    };
    const task = await open({ maxEpochRecords: 2, hook });
    positions.length = 0;
    send('a', 'b', 'c', 'd', 'e');
    await feed(task, log, INPUT);
    expect(positions).toEqual([2n, 4n, 5n]);
    expect(written()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('passes over records that were processed before', async () => {
    const task = await open();
    send('a', 'b');
    await feed(task, log, INPUT);
    const { records, nextOffset } = log.read(INPUT, 0, 0n);
    await task.run({ topic: INPUT, records, nextOffset, atEnd: true }, () => Promise.resolve());
    expect(task.counters.recordsIn).toBe(2);
    expect(task.committedPositions.get(INPUT)).toBe(2n);
  });

  it('commits a position behind a marker, although there is no record', async () => {
    const task = await open();
    await task.skipTo(INPUT, 7n);
    expect(log.committed(GROUP, INPUT, 0)).toBe(7n);
    await task.skipTo(INPUT, 3n);
    expect(log.committed(GROUP, INPUT, 0)).toBe(7n);
  });

  it('is none when nothing happened: a tick of a task at rest writes nothing', async () => {
    const task = await open();
    send('a');
    await feed(task, log, INPUT);
    const before = [log.high(CHANGELOG, 0), task.counters.epochs];
    await task.tick();
    expect([log.high(CHANGELOG, 0), task.counters.epochs]).toEqual(before);
  });

  it('gives the backend what it changed only after its commit', async () => {
    const backend = emptyBackend('p', SUB, 0);
    const seen: (bigint | undefined)[] = [];
    const task = await open({ backend, hook: () => void seen.push(backend.position?.nextOffset) });
    seen.length = 0;
    const before = backend.position?.nextOffset;
    const next = log.high(CHANGELOG, 0);
    send('a');
    await feed(task, log, INPUT);
    expect(seen).toEqual([before, before, before, before]);
    expect(backend.position?.nextOffset).toBe(next + 1n);
  });
});

describe('two owners', () => {
  it('the one that opened last may write; the other is fenced, and has written nothing', async () => {
    const old = await open();
    send('a');
    await feed(old, log, INPUT);
    const heir = await open();
    send('b');
    await expect(feed(old, log, INPUT)).rejects.toMatchObject({ code: 'FENCED' });
    await feed(heir, log, INPUT);
    expect(written()).toEqual(['a', 'b']);
  });

  it('an open transaction of the old owner is aborted before the heir reads positions', async () => {
    const { promise: stands, resolve: goOn } = Promise.withResolvers<void>();
    let isOpen = false;
    const hook: CrashHook = (point) => (isOpen && point === 'before-end' ? stands : undefined);
    const old = await open({ hook });
    isOpen = true;
    send('a');
    const stuck = feed(old, log, INPUT);
    await new Promise(setImmediate);
    expect(log.lastStable('event.recorded', 0)).toBe(0n);
    const heir = await open();
    expect(log.lastStable('event.recorded', 0)).toBe(log.high('event.recorded', 0));
    await feed(heir, log, INPUT);
    goOn();
    await expect(stuck).rejects.toMatchObject({ code: 'FENCED' });
    expect(written()).toEqual(['a']);
  });
});

describe('a failed epoch', () => {
  it('makes its task of no further use: what is queued behind it does not run', async () => {
    let isLost = false;
    const hook: CrashHook = (point) => {
      if (point !== 'after-end' || !isLost) return;
      isLost = false;
      throw new Error('the answer was lost');
    };
    const task = await open({ hook });
    isLost = true;
    send('a');
    const first = feed(task, log, INPUT);
    const second = task.tick();
    await expect(first).rejects.toThrow('the answer was lost');
    await expect(second).rejects.toThrow('the answer was lost');
    await expect(task.skipTo(INPUT, 9n)).rejects.toThrow('the answer was lost');
    const heir = await open();
    expect(heir.position(INPUT)).toBe(1n);
  });

  it('close lets go of the producer; a closed task does nothing more', async () => {
    const task = await open();
    await task.close();
    await expect(task.tick()).rejects.toThrow('closed');
  });
});

describe('table changes', () => {
  it('of equal keys in two tables are both told', async () => {
    const told: string[] = [];
    const table = <T extends 'contact.golden' | 'event.recorded'>(topic: T) => ({
      topic,
      toRow: () => undefined,
    });
    const sub = subOf((t) =>
      t
        .stream(INPUT)
        .process('watch', {
          tables: [table('contact.golden'), table('event.recorded')],
          create: () => ({
            process: () => undefined,
            onTableChange: (topic, key) => void told.push(`${topic} ${key}`),
          }),
        })
        .ignore('a test'),
    );
    const task = await open({ sub });
    task.tableChanged('contact.golden', contact().id);
    task.tableChanged('event.recorded', '1');
    task.tableChanged('event.recorded', '1');
    await task.runTableChanges();
    expect(told).toEqual(['contact.golden 1', 'event.recorded 1']);
  });
});

describe('a record that is to be tried again later', () => {
  let now = T0;
  /** Refusals that each payload still has to come. */
  const refusals = new Map<string, number>();
  const gated = subOf((t) =>
    t
      .stream(INPUT)
      .step('gate', ({ event_id }) => {
        const left = refusals.get(event_id) ?? 0;
        if (left === 0) return ok(shown(event_id));
        refusals.set(event_id, left - 1);
        return retryLater(MINUTE / 2);
      })
      .to('event.recorded'),
  );

  beforeEach(() => {
    now = T0;
    refusals.clear();
  });

  it('ends its batch: what came before is committed, and nothing is processed until its time', async () => {
    const task = await open({ sub: gated, now: () => now });
    refusals.set('c', 1);
    send('a', 'b', 'c', 'd');
    await feed(task, log, INPUT);
    expect([written(), task.position(INPUT)]).toEqual([['a', 'b'], 2n]);
    expect(task.waitsUntil).toBe(T0 + MINUTE / 2);
    const { records, nextOffset } = log.read(INPUT, 0, 0n);
    const batch = { topic: INPUT, records, nextOffset, atEnd: true };
    expect(await task.run(batch, () => Promise.resolve())).toBe(false);
    await task.skipTo(INPUT, 99n);
    expect([written(), task.position(INPUT)]).toEqual([['a', 'b'], 2n]);
    now += MINUTE / 2;
    expect([task.waitsUntil, await task.run(batch, () => Promise.resolve())]).toEqual([
      undefined,
      true,
    ]);
    expect(written()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('may be followed by one before it, when that is processed once more: the task waits there', async () => {
    const task = await open({ sub: gated, now: () => now });
    let asked = 0;
    // The second look at `b`, after `d` has stopped the epoch.
    const { get } = refusals;
    refusals.get = (id) => {
      if (id === 'b') asked += 1;
      return id === 'b' && asked === 2 ? 1 : get.call(refusals, id);
    };
    refusals.set('d', 1);
    send('a', 'b', 'c', 'd', 'e');
    await feed(task, log, INPUT);
    expect([written(), task.position(INPUT)]).toEqual([['a'], 1n]);
    refusals.get = get;
    refusals.delete('b');
    now += MINUTE;
    await feed(task, log, INPUT);
    expect(written()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

describe('a record whose output is too large for its topic', () => {
  const DLQ = `${INPUT}.p.dlq`;
  const limits = new Map([['event.recorded', 2_000]]);
  const long = 'x'.repeat(3_000);

  it('is dead-lettered alone: what came before and after it is processed', async () => {
    const sub = subOf((t) =>
      t
        .stream(INPUT)
        .map('show', ({ event_id }) => shown(event_id))
        .to('event.recorded'),
    );
    const task = await open({ sub, limits });
    send('a', 'b', long, 'c', long, 'd');
    await feed(task, log, INPUT);
    expect(written()).toEqual(['a', 'b', 'c', 'd']);
    const letters = log.readTopic(DLQ).map(({ record }) => deadLetterInfo(record).code);
    expect(letters).toEqual(['RECORD_TOO_LARGE', 'RECORD_TOO_LARGE']);
    expect(task.committedPositions.get(INPUT)).toBe(6n);
  });

  it('stops its task, by its name, when no record is to blame', async () => {
    const sub = subOf((t) =>
      t
        .stream(INPUT)
        .process<string>('gather', {
          create: ({ forward }) => ({
            process: () => undefined,
            endEpoch: () => forward('k', long),
          }),
        })
        .map('show', shown)
        .to('event.recorded'),
    );
    const task = await open({ sub, limits: new Map() });
    await task.close();
    await expect(open({ sub, limits })).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
  });
});

describe('close', () => {
  it('waits for what is being deleted of the changelog', async () => {
    const deletion = Promise.withResolvers<void>();
    const deleted: bigint[] = [];
    const onBoundary = (offset: bigint) => {
      deleted.push(offset);
      return deletion.promise;
    };
    const state = { minLogBytes: 500, liveFactor: 1, flushEntries: 1 };
    const sub = subOf((t) =>
      t.stream(INPUT).groupByKey().count('n').toStream().ignore('only its store is looked at'),
    );
    const task = await open({ sub, state, onBoundary });
    for (let n = 0; deleted.length === 0 && n < 500; n += 1) {
      send(`${n % 3}`);
      await feed(task, log, INPUT);
    }
    expect(deleted.length).toBeGreaterThan(0);
    let isClosed = false;
    const closed = task.close().then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isClosed).toBe(false);
    deletion.resolve();
    await closed;
  });
});
