import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open as openEnvironment } from 'lmdb';
import { afterAll, describe, expect, it } from 'vitest';
import type { StateBackend } from './backend.ts';
import { TEST_TASK } from './conformance.ts';
import { DATABASE, LmdbValues } from './lmdb-values.ts';
import { openBackend, type SetAside } from './open-backend.ts';
import { isRunName } from './run-name.ts';

const root = mkdtempSync(join(tmpdir(), 'reachflow-segments-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const TTL_MS = 1_000;
const SEGMENT = 50;
let offset = 0n;
let names = 0;
const newDir = () => join(root, String(names++));

const open = (dir: string, version = 1, setAside: SetAside[] = []) =>
  openBackend({
    kind: 'lmdb',
    dir,
    identity: TEST_TASK,
    stores: [{ name: 'ids', version, ttlMs: TTL_MS }],
    maxBytes: 2 ** 28,
    segmentEntries: SEGMENT,
    onSetAside: (event) => setAside.push(event),
  });

/** One batch: keys with the event time of their write, NaN to delete; the value says `text`, too. */
function write(
  backend: StateBackend,
  entries: Record<string, number>,
  horizon = 0,
  text = '',
): void {
  const changes = Object.entries(entries)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, at]) => {
      if (Number.isNaN(at)) return { key, deleted: true, bytes: undefined, start: -1, end: -1 };
      const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(text)]);
      bytes.writeDoubleBE(at, 0);
      return { key, deleted: false, bytes, start: 0, end: bytes.length };
    });
  offset += 1n;
  const position = { nextOffset: offset, epoch: Number(offset), part: 0, parts: 1, logBytes: 0 };
  backend.apply([{ store: 0, changes, horizon }], position);
}

/** A batch that fills a segment: keys `<prefix>00` to `<prefix>49`. */
function fill(backend: StateBackend, prefix: string, at: number, horizon = 0): void {
  const keys = Array.from(
    { length: SEGMENT },
    (_, index) => prefix + String(index).padStart(2, '0'),
  );
  write(backend, Object.fromEntries(keys.map((key) => [key, at])), horizon, prefix);
}

const textOf = (backend: StateBackend, key: string) => backend.get(0, key)?.toString('latin1', 8);
const keysOf = (backend: StateBackend, from = '', to?: string, limit = 10_000) =>
  backend.range(0, from, to, limit).map(({ key }) => key);
const runsOf = (dir: string) => readdirSync(dir).filter(isRunName).sort();
const entriesOf = (backend: StateBackend) => backend.size(0).entries;

describe('a store in segments', () => {
  it('drops segments whose youngest entry has expired, the oldest first', async () => {
    const backend = await open(newDir());
    fill(backend, 'a', 100);
    fill(backend, 'b', 200);
    fill(backend, 'c', 300);
    write(backend, { d: 400 }, 1_099);
    expect(entriesOf(backend)).toBe(151);
    write(backend, { e: 400 }, 1_100);
    expect(entriesOf(backend)).toBe(102);
    expect(textOf(backend, 'a00')).toBeUndefined();
    expect(textOf(backend, 'b49')).toBe('b');
    write(backend, {}, 1_399);
    expect(keysOf(backend)).toEqual(['d', 'e']);
    write(backend, { f: 2_000 }, 1_400);
    expect(keysOf(backend)).toEqual(['f']);
    await backend.close();
  });

  it('has a bounded size under a steady load, whatever the number of batches', async () => {
    const backend = await open(newDir());
    let most = 0;
    let bytes = 0;
    for (let batch = 0; batch < 400; batch += 1) {
      fill(backend, `${batch}/`, batch * 20, batch * 20);
      most = Math.max(most, entriesOf(backend));
      if (batch === 200) ({ bytes } = backend.size(0));
    }
    // 50 batches are alive, and a segment ends with each.
    expect(most).toBeGreaterThanOrEqual(50 * SEGMENT);
    expect(most).toBeLessThan(60 * SEGMENT);
    expect(backend.size(0).bytes).toBeLessThan(1.2 * bytes);
    await backend.close();
  });

  it('lets the newest segment grow when all databases are in use', async () => {
    const dir = newDir();
    const backend = await open(dir);
    for (let batch = 0; batch < 200; batch += 1) fill(backend, `${batch}/`, 0);
    expect(entriesOf(backend)).toBe(200 * SEGMENT);
    await backend.close();
    const again = await open(dir);
    for (let batch = 0; batch < 200; batch += 1)
      expect(textOf(again, `${batch}/07`)).toBe(`${batch}/`);
    expect(keysOf(again)).toHaveLength(200 * SEGMENT);
    await again.close();
  });

  it('gives the newest copy of a key, also when that is the older by event time', async () => {
    const backend = await open(newDir());
    fill(backend, 'a', 900);
    write(backend, { a10: 100, b: 100 }, 0, 'newer');
    fill(backend, 'c', 1_500);
    fill(backend, 'd', 1_500);
    expect(textOf(backend, 'a10')).toBe('newer');
    expect(textOf(backend, 'a11')).toBe('a');
    // The newer copy's time has come, but not that of the segment below: the older copy must not come back.
    write(backend, {}, 1_200);
    expect(textOf(backend, 'a10')).toBe('newer');
    write(backend, {}, 1_950);
    expect(textOf(backend, 'a10')).toBe('newer');
    expect(textOf(backend, 'a11')).toBeUndefined();
    write(backend, { e: 3_000 }, 2_500);
    expect(keysOf(backend)).toEqual(['e']);
    await backend.close();
  });

  it('forgets deleted keys of older segments, until they are set again', async () => {
    const dir = newDir();
    const backend = await open(dir);
    fill(backend, 'a', 100);
    fill(backend, 'b', 100);
    write(backend, { a00: Number.NaN, b00: Number.NaN, none: Number.NaN });
    expect(textOf(backend, 'a00')).toBeUndefined();
    expect(keysOf(backend)).toHaveLength(2 * SEGMENT - 2);
    expect(keysOf(backend, '', undefined, 2)).toEqual(['a01', 'a02']);
    await backend.close();
    const again = await open(dir);
    expect(textOf(again, 'a00')).toBeUndefined();
    fill(again, 'c', 100);
    write(again, { a00: 200 }, 0, 'again');
    expect(textOf(again, 'a00')).toBe('again');
    expect(textOf(again, 'b00')).toBeUndefined();
    await again.close();
  });

  it('merges ranges over segments, within bounds and up to a limit', async () => {
    const backend = await open(newDir());
    const at = (keys: string[]) => Object.fromEntries(keys.map((key) => [key, 100]));
    const all: string[] = [];
    for (let part = 0; part < 4; part += 1) {
      const keys = Array.from({ length: SEGMENT }, (_, index) => `k${1_000 + index * 4 + part}`);
      all.push(...keys);
      write(backend, at(keys), 0, String(part));
    }
    write(backend, { k1100: 100 }, 0, 'newest');
    all.sort();
    expect(keysOf(backend)).toEqual(all);
    expect(keysOf(backend, 'k1003', 'k1020')).toEqual(all.slice(3, 20));
    expect(keysOf(backend, 'k1099', undefined, 3)).toEqual(['k1099', 'k1100', 'k1101']);
    const [entry] = backend.range(0, 'k1100', undefined, 1);
    expect(entry?.value.toString('latin1', 8)).toBe('newest');
    await backend.close();
  });

  it('goes on where it was when it is opened again', async () => {
    const dir = newDir();
    let backend = await open(dir);
    for (const [index, prefix] of ['a', 'b', 'c', 'd'].entries()) {
      fill(backend, prefix, index * 100, index);
      await backend.close();
      backend = await open(dir);
      expect(entriesOf(backend)).toBe((index + 1) * SEGMENT);
    }
    write(backend, { e: 1_100 }, 1_150);
    // What was known of each segment's youngest entry is known again.
    expect(keysOf(backend).map((key) => key.charAt(0))).toEqual([
      ...'c'.repeat(SEGMENT),
      ...'d'.repeat(SEGMENT),
      'e',
    ]);
    backend.clear();
    expect(keysOf(backend)).toEqual([]);
    fill(backend, 'x', 5_000);
    await backend.close();
    backend = await open(dir);
    expect(keysOf(backend)).toHaveLength(SEGMENT);
    await backend.close();
  });

  it('moves an entry of the far future out of the way, with no older copy of anything', async () => {
    const backend = await open(newDir());
    write(backend, { far: 1e9, twice: 1e9, deleted: 1e9 }, 0, 'far');
    fill(backend, 'a', 100);
    write(backend, { twice: 1e9 }, 0, 'newer');
    write(backend, { deleted: Number.NaN });
    for (let round = 1; round < 20; round += 1)
      fill(backend, `${round}/`, round * 200, round * 200);
    expect(textOf(backend, 'far')).toBe('far');
    expect(textOf(backend, 'twice')).toBe('newer');
    expect(textOf(backend, 'deleted')).toBeUndefined();
    expect(entriesOf(backend)).toBeLessThan(10 * SEGMENT);
    await backend.close();
  });
});

describe('a file with segments', () => {
  it('is emptied of a store that comes back in another version', async () => {
    const dir = newDir();
    const first = await open(dir);
    fill(first, 'a', 100);
    fill(first, 'b', 100);
    await first.close();
    const second = await open(dir, 2);
    expect(keysOf(second)).toEqual([]);
    write(second, { x: 100 });
    await second.close();
    const third = await open(dir, 2);
    expect(keysOf(third)).toEqual(['x']);
    await third.close();
  });

  it('of an older format is set aside, to be restored', async () => {
    const dir = newDir();
    const first = await open(dir);
    fill(first, 'a', 100);
    await first.close();
    const environment = openEnvironment<Buffer, string>({
      path: dir,
      noSubdir: false,
      ...DATABASE,
    });
    const about = environment.openDB('#about', DATABASE);
    const values = new LmdbValues(dir);
    const known = JSON.parse(String(values.get(about, 'identity'))) as { format: number };
    expect(known.format).toBe(2);
    environment.transactionSync(() =>
      values.put(about, 'identity', Buffer.from(JSON.stringify({ ...known, format: 1 }))),
    );
    await environment.close();
    const events: SetAside[] = [];
    const again = await open(dir, 1, events);
    expect(events).toHaveLength(1);
    expect(events[0]?.reason).toContain('format 1');
    expect(again.position).toBeUndefined();
    expect(keysOf(again)).toEqual([]);
    await again.close();
  });
});

/** A closed state of three full segments, at least one of them a run, and the keys that it has. */
async function closedWithRuns(): Promise<{ dir: string; keys: string[] }> {
  const dir = newDir();
  const backend = await open(dir);
  for (const prefix of ['a', 'b', 'c']) fill(backend, prefix, 100);
  write(backend, { last: 100 });
  const keys = keysOf(backend);
  await backend.close();
  expect(runsOf(dir).length).toBeGreaterThan(0);
  return { dir, keys };
}

describe('a run of a state', () => {
  it('is what a full segment becomes, some of it with each batch; it goes with its segment', async () => {
    const dir = newDir();
    const backend = await open(dir);
    fill(backend, 'a', 100);
    expect(runsOf(dir)).toEqual([]);
    write(backend, { b: 200 });
    write(backend, { c: 200 });
    const [begun = ''] = runsOf(dir);
    // Nothing is written of it until it is worth a call, and its end comes last.
    expect(statSync(join(dir, begun)).size).toBe(0);
    expect(backend.size(0).entries).toBe(SEGMENT + 2);
    for (let batch = 0; batch < SEGMENT; batch += 1) write(backend, { [`d${batch}`]: 200 });
    expect(runsOf(dir)).toContain(begun);
    expect(statSync(join(dir, begun)).size).toBeGreaterThan(0);
    expect(entriesOf(backend)).toBe(2 * SEGMENT + 2);
    expect(keysOf(backend)).toHaveLength(2 * SEGMENT + 2);
    write(backend, { e: 2_000 }, 1_500);
    expect(keysOf(backend)).toEqual(['e']);
    expect(runsOf(dir)).toEqual([]);
    await backend.close();
  });

  it('is made of large values, too, however fast they come', async () => {
    const backend = await open(newDir());
    const text = 'x'.repeat(300_000);
    for (let batch = 0; batch < 4; batch += 1) {
      const keys = Array.from({ length: SEGMENT }, (_, index) => `${batch}/${index}`);
      write(backend, Object.fromEntries(keys.map((key) => [key, 100])), 0, text);
    }
    expect(keysOf(backend)).toHaveLength(4 * SEGMENT);
    expect(textOf(backend, '1/7')?.length).toBe(text.length);
    await backend.close();
  });

  it('that a killed process had begun, or not removed yet, is removed', async () => {
    const { dir, keys } = await closedWithRuns();
    const known = runsOf(dir);
    writeFileSync(join(dir, 'run-0123456789abcdef.seg'), 'begun');
    cpSync(join(dir, known[0] ?? ''), join(dir, 'run-fedcba9876543210.seg'));
    const backend = await open(dir);
    expect(runsOf(dir)).toEqual(known);
    expect(keysOf(backend)).toEqual(keys);
    await backend.close();
  });

  it('is in a snapshot, though it is dropped while that is taken', async () => {
    const { dir, keys } = await closedWithRuns();
    const backend = await open(dir);
    const target = newDir();
    const taking = backend.snapshot(target);
    write(backend, { x: 9_000 }, 5_000);
    expect(keysOf(backend)).toEqual(['x']);
    const files = await taking;
    expect(files.map(({ name }) => name).sort()).toEqual(readdirSync(target).sort());
    for (const { name, bytes } of files) expect(statSync(join(target, name)).size).toBe(bytes);
    expect(runsOf(dir)).toEqual([]);
    await backend.close();
    const placed = await open(target);
    expect(keysOf(placed)).toEqual(keys);
    await placed.close();
  });

  const damages: [string, (file: string) => void][] = [
    ['is missing', (file) => rmSync(file)],
    ['is cut off', (file) => truncateSync(file, 1_000)],
    ['has a damaged filter or index', (file) => flip(file, statSync(file).size - 100)],
  ];

  it.each(damages)('%s: the state is set aside, and begins empty', async (_, damage) => {
    const { dir } = await closedWithRuns();
    damage(join(dir, runsOf(dir)[0] ?? ''));
    const events: SetAside[] = [];
    const backend = await open(dir, 1, events);
    expect(events).toHaveLength(1);
    expect(readdirSync(events[0]?.movedTo ?? '')).toContain('data.mdb');
    expect(runsOf(dir)).toEqual([]);
    expect(backend.position).toBeUndefined();
    fill(backend, 'a', 100);
    await backend.close();
    const again = await open(dir, 1, events);
    expect(keysOf(again)).toHaveLength(SEGMENT);
    expect(events).toHaveLength(1);
    await again.close();
  });

  it('has a damaged entry: it is refused, and the state set aside when it is opened next', async () => {
    const { dir, keys } = await closedWithRuns();
    const file = join(dir, runsOf(dir)[0] ?? '');
    const key = readFileSync(file).toString('latin1', 6, 9);
    flip(file, 7);
    const events: SetAside[] = [];
    const backend = await open(dir, 1, events);
    expect(() => backend.get(0, key)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
    expect(() => keysOf(backend)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
    expect(textOf(backend, keys.at(-1) ?? '')).toBe('');
    await backend.close();
    expect(events).toHaveLength(0);
    const again = await open(dir, 1, events);
    expect(events).toHaveLength(1);
    await again.close();
  });

  it('has a damaged entry after a crash: the state is set aside before it is used', async () => {
    const { dir } = await closedWithRuns();
    rmSync(join(dir, 'session.json'));
    const sound = newDir();
    cpSync(dir, sound, { recursive: true });
    flip(join(dir, runsOf(dir)[0] ?? ''), 7);
    const events: SetAside[] = [];
    await (await open(sound, 1, events)).close();
    expect(events).toHaveLength(0);
    await (await open(dir, 1, events)).close();
    expect(events).toHaveLength(1);
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}
