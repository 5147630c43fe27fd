import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changelogOf } from '../../schemas/topics.ts';
import { MemoryCodec } from '../testing/memory-codec.ts';
import { type CrashHook, MemoryLog } from '../testing/memory-log.ts';
import { emptyBackend, feed, openMemoryTask } from '../testing/memory-task.ts';
import { contact, MINUTE, shown, T0, webhook } from '../testing/samples.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { groupOf, type SubTopology } from '../topology/graph.ts';
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
