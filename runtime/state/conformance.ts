import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  BackendKind,
  Change,
  Position,
  StateBackend,
  StateIdentity,
  StoreDescriptor,
} from './backend.ts';
import { openBackend, removeState } from './open-backend.ts';

/** Whose state the tests keep. */
export const TEST_TASK: StateIdentity = {
  namespace: 'test',
  pipeline: 'orders',
  subTopology: 'ids',
  partition: 0,
};

const STORES = [
  { name: 'first', version: 1 },
  { name: 'second', version: 1 },
];

/** Stores that expire have values that begin with a time. */
const TTL_MS = 1_000;
const TIME = '\0'.repeat(8);

function change(key: string, value: string | undefined): Change {
  const bytes = value === undefined ? undefined : Buffer.from(`..${TIME}${value}.`, 'latin1');
  return { key, deleted: bytes === undefined, bytes, start: 2, end: (bytes?.length ?? 3) - 1 };
}

/** The value of `change`. */
function textOf(bytes: Buffer | undefined): string | undefined {
  return bytes?.toString('latin1', TIME.length);
}

function position(nextOffset: bigint): Position {
  return { nextOffset, epoch: Number(nextOffset), part: 0, parts: 1, logBytes: 10 };
}

function write(backend: StateBackend, entries: Record<string, string | undefined>, at: bigint) {
  const changes = Object.entries(entries)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => change(key, value));
  backend.apply([{ store: 0, changes }], position(at));
}

function contentOf(backend: StateBackend, store = 0, from = '', to?: string, limit = 1_000) {
  return backend.range(store, from, to, limit).map(({ key, value }) => [key, textOf(value)]);
}

/**
 * What every `StateBackend` has to do.
 * @param segmentEntries of stores that expire, which the stores then are.
 */
export function describeStateBackend(kind: BackendKind, segmentEntries?: number): void {
  const expiring = segmentEntries !== undefined;
  const stores = <S extends StoreDescriptor>(plain: readonly S[]): StoreDescriptor[] =>
    plain.map((store) => (expiring ? { ...store, ttlMs: TTL_MS } : store));
  const segments = expiring ? { segmentEntries } : {};
  describe(`${kind} backend${expiring ? `, segments of ${segmentEntries}` : ''}`, () => {
    let root: string;
    let tests = 0;
    beforeAll(() => {
      root = mkdtempSync(join(tmpdir(), 'reachflow-state-'));
    });
    afterAll(() => rmSync(root, { recursive: true, force: true }));

    const newDir = () => join(root, String(tests++));
    const open = (dir: string, declared = STORES) =>
      openBackend({
        kind,
        dir,
        identity: TEST_TASK,
        stores: stores(declared),
        maxBytes: 2 ** 30,
        ...segments,
      });

    it('starts empty, without a position', async () => {
      const backend = await open(newDir());
      expect(backend.position).toBeUndefined();
      expect(backend.get(0, 'a')).toBeUndefined();
      expect(contentOf(backend)).toEqual([]);
      expect(backend.size(0).entries).toBe(0);
      await backend.close();
    });

    it('applies changes with their position, store by store', async () => {
      const backend = await open(newDir());
      write(backend, { a: '1', b: '2' }, 7n);
      backend.apply([{ store: 1, changes: [change('a', 'other')] }], position(8n));
      write(backend, { a: undefined, c: '3' }, 9n);
      expect(backend.position).toEqual(position(9n));
      expect(contentOf(backend)).toEqual([
        ['b', '2'],
        ['c', '3'],
      ]);
      expect(textOf(backend.get(1, 'a'))).toBe('other');
      // Older copies in older segments count.
      if (segmentEntries === 1) expect(backend.size(0).entries).toBeGreaterThanOrEqual(2);
      else expect(backend.size(0).entries).toBe(2);
      await backend.close();
    });

    it('orders keys by bytes, the empty key and zero bytes included', async () => {
      const backend = await open(newDir());
      const keys = ['', '\0', '\0\0', '\0a', '\x01', 'a', 'a\0', 'ab', '\x7f', '\x80', 'é', '\xff'];
      write(backend, Object.fromEntries(keys.map((key) => [key, `v${key}`])), 1n);
      expect(contentOf(backend)).toEqual(keys.map((key) => [key, `v${key}`]));
      expect(contentOf(backend, 0, '\0', 'ab').map(([key]) => key)).toEqual(keys.slice(1, 7));
      expect(contentOf(backend, 0, 'a\0', undefined, 2).map(([key]) => key)).toEqual(['a\0', 'ab']);
      for (const key of keys) expect(textOf(backend.get(0, key))).toBe(`v${key}`);
      await backend.close();
    });

    it('keeps long keys, empty values and large ones', async () => {
      const backend = await open(newDir());
      const long = 'k'.repeat(1_900);
      const large = 'x'.repeat(900_000);
      write(backend, { [long]: 'long', empty: '', large, medium: 'y'.repeat(5_000) }, 1n);
      expect(textOf(backend.get(0, long))).toBe('long');
      expect(textOf(backend.get(0, 'empty'))?.length).toBe(0);
      expect(textOf(backend.get(0, 'large'))).toBe(large);
      expect(textOf(backend.get(0, 'medium'))?.length).toBe(5_000);
      expect(contentOf(backend).map(([key]) => key)).toEqual(['empty', long, 'large', 'medium']);
      write(backend, { large: undefined, medium: 'small' }, 2n);
      expect(contentOf(backend, 0, 'l')).toEqual([['medium', 'small']]);
      await backend.close();
    });

    it('gives copies from ranges, and a view until the next use from get', async () => {
      const backend = await open(newDir());
      write(backend, { a: 'first', b: 'second' }, 1n);
      const [a, b] = backend.range(0, '', undefined, 10);
      backend.get(0, 'b');
      write(backend, { a: 'xxxxx', b: 'yyyyyy' }, 2n);
      backend.get(0, 'a');
      expect([textOf(a?.value), textOf(b?.value)]).toEqual(['first', 'second']);
      await backend.close();
    });

    it('clears everything', async () => {
      const backend = await open(newDir());
      write(backend, { a: '1' }, 1n);
      backend.clear();
      expect(backend.position).toBeUndefined();
      expect(contentOf(backend)).toEqual([]);
      write(backend, { b: '2' }, 2n);
      expect(contentOf(backend)).toEqual([['b', '2']]);
      await backend.close();
    });

    it('snapshots what the last batch left, while others follow; placed, it is the state', async () => {
      const dir = newDir();
      const backend = await open(dir);
      const entries = Object.fromEntries(
        Array.from({ length: 20_000 }, (_, index) => [`key-${index}`, `value-${index}`]),
      );
      write(backend, entries, 41n);
      const target = newDir();
      const taken = backend.snapshot(target);
      write(backend, { 'key-0': 'later', 'key-20001': 'more', 'key-2': undefined }, 42n);
      const files = await taken;
      await backend.close();
      expect(files.every(({ bytes }) => bytes > 0)).toBe(true);

      const placed = newDir();
      await removeState(dir);
      mkdirSync(placed);
      for (const { name } of files) cpSync(join(target, name), join(placed, name));
      const restored = await open(placed);
      expect(restored.position).toEqual(position(41n));
      expect(restored.size(0).entries).toBe(20_000);
      expect(textOf(restored.get(0, 'key-0'))).toBe('value-0');
      expect(textOf(restored.get(0, 'key-19999'))).toBe('value-19999');
      expect(restored.get(0, 'key-20001')).toBeUndefined();
      write(restored, { 'key-0': 'changed' }, 50n);
      expect(textOf(restored.get(0, 'key-0'))).toBe('changed');
      await restored.close();
    });

    it('finishes a snapshot that is under way before it closes', async () => {
      const backend = await open(newDir());
      const entries = Array.from({ length: 50_000 }, (_, index) => [
        `key-${index}`,
        'x'.repeat(100),
      ]);
      write(backend, Object.fromEntries(entries), 3n);
      const target = newDir();
      const taken = backend.snapshot(target);
      await backend.close();
      await taken;
      const restored = await open(target);
      expect(restored.size(0).entries).toBe(50_000);
      await restored.close();
    });

    it('opens a snapshot without the stores that are gone or have another version', async () => {
      const backend = await open(newDir());
      write(backend, { a: '1' }, 1n);
      backend.apply([{ store: 1, changes: [change('b', '2')] }], position(2n));
      const target = newDir();
      await backend.snapshot(target);
      await backend.close();
      const opened = await open(target, [
        { name: 'new', version: 1 },
        { name: 'second', version: 1 },
        { name: 'first', version: 2 },
      ]);
      expect(opened.position).toEqual(position(2n));
      expect(contentOf(opened, 0)).toEqual([]);
      expect(contentOf(opened, 1)).toEqual([['b', '2']]);
      expect(contentOf(opened, 2)).toEqual([]);
      await opened.close();
    });

    it('refuses a directory that is in use', async () => {
      const dir = newDir();
      const backend = await open(dir);
      await expect(open(dir)).rejects.toMatchObject({ code: 'STATE_LOCKED', retry: 'backoff' });
      await backend.close();
      await (await open(dir)).close();
    });

    it('sets a state of another task aside', async () => {
      const backend = await open(newDir());
      write(backend, { a: '1' }, 1n);
      const target = newDir();
      await backend.snapshot(target);
      await backend.close();
      const events: string[] = [];
      const other = await openBackend({
        kind,
        dir: target,
        identity: { ...TEST_TASK, partition: 1 },
        stores: stores(STORES),
        maxBytes: 2 ** 30,
        ...segments,
        onSetAside: ({ reason }) => events.push(reason),
      });
      expect(other.position).toBeUndefined();
      expect(contentOf(other)).toEqual([]);
      expect(events).toHaveLength(1);
      await other.close();
    });
  });
}
