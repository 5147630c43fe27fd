import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { StateBackend } from './backend.ts';
import { TEST_TASK } from './conformance.ts';
import { openBackend } from './open-backend.ts';

const root = mkdtempSync(join(tmpdir(), 'reachflow-filter-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const open = (name: string) =>
  openBackend({
    kind: 'lmdb',
    dir: join(root, name),
    identity: TEST_TASK,
    stores: [{ name: 'ids', version: 1 }],
    maxBytes: 2 ** 28,
  });

const VALUE = Buffer.from('value');
let offset = 0n;

/** Sets or deletes the keys `from` to `to`. */
function write(backend: StateBackend, from: number, to: number, deleted = false): void {
  const changes = Array.from({ length: to - from }, (_, index) => {
    const bytes = deleted ? undefined : VALUE;
    return { key: `key-${from + index}`, deleted, bytes, start: 0, end: VALUE.length };
  }).sort((a, b) => (a.key < b.key ? -1 : 1));
  offset += 1n;
  backend.apply([{ store: 0, changes }], {
    nextOffset: offset,
    epoch: Number(offset),
    part: 0,
    parts: 1,
    logBytes: 0,
  });
}

/** How many of the keys `from` to `to` there are. */
function found(backend: StateBackend, from: number, to: number): number {
  let count = 0;
  for (let index = from; index < to; index += 1)
    if (backend.get(0, `key-${index}`) !== undefined) count += 1;
  return count;
}

describe('a large LMDB store that is opened', () => {
  it('has each of its keys, before, while and after its filter is filled', async () => {
    const first = await open('filling');
    write(first, 0, 45_000);
    expect(found(first, 0, 45_000)).toBe(45_000);
    await first.close();
    const backend = await open('filling');
    for (let round = 0; round < 8; round += 1) {
      const next = 45_000 + round * 1_000;
      expect(found(backend, 0, next)).toBe(next);
      expect(found(backend, next, next + 1_000)).toBe(0);
      write(backend, next, next + 1_000);
    }
    write(backend, 10, 20, true);
    expect(found(backend, 0, 53_000)).toBe(52_990);
    write(backend, 15, 16);
    expect(found(backend, 0, 53_000)).toBe(52_991);
    await backend.close();
  }, 60_000);

  it('has each of its keys when most that it ever had are gone', async () => {
    const backend = await open('stale');
    for (let round = 0; round < 6; round += 1) {
      const from = round * 60_000;
      write(backend, from, from + 60_000);
      if (round > 0) write(backend, from - 60_000, from, true);
      expect(found(backend, from, from + 60_000)).toBe(60_000);
      expect(found(backend, from - 30_000, from)).toBe(0);
    }
    backend.clear();
    expect(found(backend, 300_000, 301_000)).toBe(0);
    write(backend, 0, 1_000);
    expect(found(backend, 0, 1_000)).toBe(1_000);
    await backend.close();
  }, 60_000);
});
