import { describe, expect, it } from 'vitest';
import { TEST_TASK } from './conformance.ts';
import { keyValueStore } from './key-value-store.ts';
import { bytesOfNumber, bytesOfText, numberOfBytes, textOfBytes } from './keys.ts';
import { MemoryBackend } from './memory-backend.ts';
import { bytesSerde, jsonSerde, numberSerde, structuredSerde, textSerde } from './serde.ts';
import type { StoreSpec } from './spec.ts';
import { storesOf, TaskState, type TaskStateOptions } from './task-state.ts';
import { ttlStore } from './ttl-store.ts';

function open(specs: readonly StoreSpec<unknown>[], options: TaskStateOptions = {}): TaskState {
  const backend = new MemoryBackend({ identity: TEST_TASK, stores: storesOf(specs) });
  return new TaskState(specs, backend, options);
}

function commit(state: TaskState, nextOffset: bigint): Buffer[] {
  const segments = state.takeChanges();
  state.committed(nextOffset);
  return segments;
}

describe('keys', () => {
  it('order as numbers do, and come back', () => {
    const numbers = [
      -Infinity,
      -1e300,
      -60_000,
      -1,
      -0.5,
      0,
      1e-9,
      1,
      255,
      256,
      6e4,
      2 ** 53,
      Infinity,
    ];
    const keys = numbers.map(bytesOfNumber);
    expect([...keys].sort()).toEqual(keys);
    expect(keys.map((key) => numberOfBytes(key, 0))).toEqual(numbers);
    expect(bytesOfNumber(-0)).toBe(bytesOfNumber(0));
  });

  it('order as UTF-8 does, which strings do not', () => {
    const texts = ['a', 'é', '\uff5e', '\u{1f600}'];
    expect(texts.map(bytesOfText).sort().map(textOfBytes)).toEqual(texts);
    expect([...texts].sort()).not.toEqual(texts);
    expect(bytesOfText('\ud800')).toBe(bytesOfText('\ufffd'));
  });
});

describe('serdes', () => {
  it('give back what they were given', () => {
    const value = { a: 1n, at: new Date(5), set: new Set(['x']) };
    expect(structuredSerde<typeof value>().decode(structuredSerde().encode(value))).toEqual(value);
    expect(jsonSerde().decode(jsonSerde().encode({ a: ['é'] }))).toEqual({ a: ['é'] });
    expect(numberSerde.decode(numberSerde.encode(-0.1))).toBe(-0.1);
    expect(textSerde.decode(textSerde.encode('é'))).toBe('é');
    expect(bytesSerde.decode(bytesSerde.encode(Buffer.from('x')))).toEqual(Buffer.from('x'));
  });
});

describe('stores', () => {
  const values = keyValueStore('values', numberSerde);

  it('let an iteration see what changes ahead of it, and not what changes behind it', () => {
    for (const flushEntries of [1, 1_000]) {
      const state = open([values], { flushEntries });
      const store = state.store(values);
      for (let index = 10; index < 60; index += 1) store.set(`k${index}`, index);
      commit(state, 1n);
      const seen: number[] = [];
      for (const [key, value] of store.range()) {
        seen.push(value);
        if (key === 'k12') {
          store.delete('k13');
          store.set('k14', 140);
          store.set('k14a', 141);
          store.set('k11a', -1);
          store.delete('k12');
        }
        // A flush in the middle: what was pending is in the backend now.
        if (key === 'k14') commit(state, 2n);
        if (key === 'k50') store.delete('k51');
      }
      const expected = [10, 11, 12, 140, 141];
      for (let index = 15; index < 60; index += 1) if (index !== 51) expected.push(index);
      expect(seen).toEqual(expected);
    }
  });

  it('find by prefix, up to the last byte', () => {
    const state = open([values]);
    for (const key of ['a', 'ab', 'ab\u{10ffff}', 'ac', 'b']) state.store(values).set(key, 1);
    const keysOf = (prefix: string) => [...state.store(values).prefix(prefix)].map(([key]) => key);
    expect(keysOf('ab')).toEqual(['ab', 'ab\u{10ffff}']);
    expect(keysOf('')).toHaveLength(5);
  });

  it('refuse keys that are too long, and values that are too large', () => {
    const texts = keyValueStore('texts', textSerde);
    const state = open([texts]);
    const store = state.store(texts);
    expect(() => store.set('é'.repeat(951), 'x')).toThrow(
      expect.objectContaining({ code: 'STATE_KEY_TOO_LONG', domain: 'user' }),
    );
    expect(store.get('é'.repeat(951))).toBeUndefined();
    store.set('a', 'x'.repeat(1_000_000));
    expect(() => state.takeChanges()).toThrow(
      expect.objectContaining({ code: 'STATE_VALUE_TOO_LARGE' }),
    );
    state.rollback();
    store.set('a', 'small');
    expect(commit(state, 1n)).toHaveLength(1);
  });

  it('are declared, once a name', () => {
    expect(() => open([values, keyValueStore('values', textSerde)])).toThrow('two stores');
    expect(() => open([values]).store(keyValueStore('other', numberSerde))).toThrow('not declared');
  });

  it('do not keep a value that was changed in place, once the epoch is rolled back', () => {
    const lists = keyValueStore('lists', jsonSerde<number[]>());
    const state = open([lists], { flushEntries: 1 });
    state.store(lists).set('a', [1]);
    commit(state, 1n);
    const list = state.store(lists).get('a') ?? [];
    list.push(2);
    state.store(lists).set('a', list);
    state.rollback();
    expect(state.store(lists).get('a')).toEqual([1]);
  });

  it('begin empty when their version was raised', () => {
    const segments = (() => {
      const state = open([values]);
      state.store(values).set('a', 1);
      state.setMeta('m', Buffer.from('kept'));
      return commit(state, 1n);
    })();
    const raised = keyValueStore('values', textSerde, { version: 2 });
    const state = open([raised]);
    for (const segment of segments) state.restore(segment, 1n);
    state.endRestore();
    expect([...state.store(raised).range()]).toEqual([]);
    expect(state.getMeta('m')?.toString()).toBe('kept');
  });
});

describe('restoring', () => {
  const values = keyValueStore('values', numberSerde);

  it('notices a missing segment', () => {
    const state = open([values]);
    const log: Buffer[] = [];
    for (let epoch = 1; epoch <= 3; epoch += 1) {
      state.store(values).set('a', epoch);
      log.push(...commit(state, BigInt(epoch)));
    }
    const restored = open([values], { changelog: 'orders.ids.changelog[3]' });
    restored.startRestore(0n, 3n);
    restored.restore(log[0] as Buffer, 1n);
    expect(() => restored.restore(log[2] as Buffer, 3n)).toThrow(
      /orders\.ids\.changelog\[3\]@2 .*epoch 3/,
    );
  });

  it('goes on where the local state is, and begins anew when the log does not continue it', () => {
    const state = open([values], { flushEntries: 1 });
    state.store(values).set('a', 1);
    commit(state, 10n);
    expect(state.startRestore(0n, 12n)).toBe(10n);
    expect(state.store(values).get('a')).toBe(1);
    expect(state.startRestore(11n, 12n)).toBe(11n);
    expect(state.store(values).get('a')).toBeUndefined();
    expect(state.position).toBeUndefined();
  });
});

describe('housekeeping', () => {
  it('keeps the log as small as twice what is alive, whatever is written', () => {
    const values = keyValueStore('values', textSerde);
    const state = open([values], { flushEntries: 100, minLogBytes: 50_000 });
    let log: { offset: bigint; segment: Buffer }[] = [];
    let offset = 0n;
    let largest = 0;
    for (let epoch = 0; epoch < 3_000; epoch += 1) {
      for (let index = 0; index < 20; index += 1)
        state.store(values).set(`key-${(epoch * 7 + index * 13) % 500}`, `value ${epoch} ${index}`);
      state.housekeep(Number.NEGATIVE_INFINITY);
      for (const segment of state.takeChanges()) log.push({ offset: offset++, segment });
      state.committed(offset);
      const { boundary = 0n } = state;
      log = log.filter((record) => record.offset >= boundary);
      largest = Math.max(
        largest,
        log.reduce((sum, { segment }) => sum + segment.length, 0),
      );
    }
    expect(largest).toBeLessThan(100_000);
    const restored = open([values]);
    restored.startRestore(log[0]?.offset ?? 0n, offset);
    for (const { offset: at, segment } of log) restored.restore(segment, at + 1n);
    restored.endRestore();
    expect([...restored.store(values).range()]).toEqual([...state.store(values).range()]);
    expect([...restored.store(values).range()]).toHaveLength(500);
  });

  it('drops what has expired, with nothing written for it', () => {
    const ids = ttlStore('ids', { ttlMs: 1_000, serde: numberSerde });
    const state = open([ids], { flushEntries: 1 });
    let offset = 0n;
    let most = 0;
    for (let time = 0; time < 20_000; time += 10) {
      for (let index = 0; index < 5; index += 1) state.store(ids).set(`${time}/${index}`, 1, time);
      state.housekeep(time);
      offset += BigInt(state.takeChanges().length);
      state.committed(offset);
      most = Math.max(most, state.stats().stores.find(({ name }) => name === 'ids')?.entries ?? 0);
    }
    // 500 are alive; they go within grace and half a TTL.
    expect(most).toBeGreaterThan(500);
    expect(most).toBeLessThan(1_800);
    expect([...state.store(ids).range(undefined, undefined, 19_990)]).toHaveLength(500);
  });
});
