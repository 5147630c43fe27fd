import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { FilterLayer, hashOf } from './key-filter.ts';
import { DamagedFile } from './lmdb-file.ts';
import { Run } from './run.ts';
import { verifyRun } from './run-files.ts';
import { RunWriter } from './run-writer.ts';

const root = mkdtempSync(join(tmpdir(), 'reachflow-run-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let names = 0;

type Entries = readonly (readonly [key: string, value: string])[];

/** A run with these entries, which are in order. */
function written(entries: Entries): string {
  const name = `run-${names++}`;
  const writer = new RunWriter(join(root, name), entries.length);
  for (const [key, value] of entries) writer.add(key, Buffer.from(value, 'latin1'));
  writer.finish();
  return name;
}

const open = (name: string) => Run.open(join(root, name), name);
const get = (run: Run, key: string) => run.get(key)?.toString('latin1');
const range = (run: Run, from = '', to?: string) =>
  [...run.range(from, to)].map(({ key, value }) => [key, value.toString('latin1')]);

const numbered = (count: number): Entries =>
  Array.from({ length: count }, (_, index) => [
    `key-${String(index).padStart(6, '0')}`,
    `value of ${index}`,
  ]);

describe('a run', () => {
  it('has what was written, in order, however keys and values look', () => {
    const key = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map(String.fromCharCode),
      maxLength: 20,
    });
    const entries = fc.uniqueArray(
      fc.tuple(key, fc.string({ maxLength: 3_000, unit: 'binary-ascii' })),
      {
        selector: ([name]) => name,
        maxLength: 200,
      },
    );
    fc.assert(
      fc.property(entries, key, key, (unordered, from, to) => {
        const sorted = unordered.toSorted(([a], [b]) => (a < b ? -1 : 1));
        const run = open(written(sorted));
        const filter = new FilterLayer(run.readFilter());
        expect(run.entries).toBe(sorted.length);
        expect(range(run)).toEqual(sorted);
        expect(range(run, from, to)).toEqual(sorted.filter(([name]) => name >= from && name < to));
        const values = new Map(sorted);
        for (const name of [...values.keys(), from, to]) {
          expect(get(run, name)).toBe(values.get(name));
          if (values.has(name)) expect(filter.has(hashOf(name))).toBe(true);
        }
        run.close();
      }),
      { numRuns: 60 },
    );
  });

  it('has values that are larger than its blocks, between small ones', () => {
    const large = 'x'.repeat(900_000);
    const run = open(
      written([
        ['a', '1'],
        ['b', large],
        ['c', ''],
        ['d', large],
        ['e', '2'],
      ]),
    );
    expect([get(run, 'a'), get(run, 'c'), get(run, 'e')]).toEqual(['1', '', '2']);
    expect(get(run, 'd') === large).toBe(true);
    expect(range(run, 'b', 'e').map(([key, value]) => [key, value?.length])).toEqual([
      ['b', 900_000],
      ['c', 0],
      ['d', 900_000],
    ]);
    run.close();
  });

  it('says of most other keys that it does not have them', () => {
    const run = open(written(numbered(50_000)));
    const filter = new FilterLayer(run.readFilter());
    let passed = 0;
    for (let index = 0; index < 20_000; index += 1)
      if (filter.has(hashOf(`other-${index}`))) passed += 1;
    expect(passed).toBeLessThan(20_000 / 300);
    run.close();
  });

  it('gives nothing away of what a process did not finish', () => {
    const path = join(root, 'unfinished');
    const writer = new RunWriter(path, 10_000);
    for (const [key, value] of numbered(10_000)) writer.add(key, Buffer.from(value));
    expect(() => Run.open(path, 'unfinished')).toThrow(DamagedFile);
    writer.abandon();
    expect(() => Run.open(path, 'unfinished')).toThrow('unfinished is missing');
  });
});

describe('a damaged run', () => {
  const ENTRIES = 3_000;
  const bytesOf = (name: string) => readFileSync(join(root, name));
  /** Changes one byte, counted from the end when it is negative. */
  function change(name: string, at: number): void {
    const bytes = bytesOf(name);
    const from = at < 0 ? bytes.length + at : at;
    const file = openSync(join(root, name), 'r+');
    writeSync(file, Buffer.from([(bytes[from] ?? 0) ^ 0x40]), 0, 1, from);
    closeSync(file);
  }

  it('is refused when it is opened, if its end, its index or its filter is not what was written', () => {
    const { length } = bytesOf(written(numbered(ENTRIES)));
    /** As a state does that is opened. */
    const use = (name: string) => open(name).readFilter();
    for (const at of [-1, -20, -48, -60, -400, -1_000, -5_000]) {
      const name = written(numbered(ENTRIES));
      change(name, at);
      expect(() => use(name), `byte ${at} of ${length}`).toThrow(DamagedFile);
    }
    for (const left of [length - 1, length - 48, 100, 10, 0]) {
      const name = written(numbered(ENTRIES));
      truncateSync(join(root, name), left);
      expect(() => use(name), `${left} bytes left`).toThrow(DamagedFile);
    }
    const other = written([]);
    writeFileSync(join(root, other), 'not a run'.repeat(100));
    expect(() => use(other)).toThrow(DamagedFile);
  });

  it('is refused when a damaged block is read, and found when it is checked whole', async () => {
    const name = written(numbered(ENTRIES));
    change(name, bytesOf(name).indexOf('value of 1234'));
    const run = open(name);
    expect(() => run.get('key-001234')).toThrow(DamagedFile);
    expect(() => run.get('key-001234')).toThrow(DamagedFile);
    expect(get(run, 'key-000001')).toBe('value of 1');
    expect(() => range(run)).toThrow(DamagedFile);
    run.close();
    await expect(verifyRun(root, name)).rejects.toThrow(DamagedFile);
    await verifyRun(root, written(numbered(ENTRIES)));
  });
});
