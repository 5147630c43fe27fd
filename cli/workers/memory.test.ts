import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  heapFlags,
  MemoryLimit,
  ownResidentBytes,
  parseOwnResident,
  untilMemoryExceeded,
} from './memory.ts';

const MIB = 1_048_576;

describe('the memory of a worker', () => {
  it('is above its limit only when three looks in a row are', () => {
    const limit = new MemoryLimit(100);
    const looks = [101, 101, 100, 101, 101, 101].map((mb) =>
      limit.isExceeded({ residentBytes: mb * MIB, oldSpaceShare: 0.5 }),
    );
    expect(looks).toEqual([false, false, false, false, false, true]);
  });

  it('is too much, too, when the old space stays nearly full: it drains before V8 aborts it', () => {
    const limit = new MemoryLimit(100);
    const looks = [0.96, 0.96, 0.96].map((oldSpaceShare) =>
      limit.isExceeded({ residentBytes: MIB, oldSpaceShare }),
    );
    expect(looks).toEqual([false, false, true]);
  });

  it('is what no file backs', () => {
    const status =
      'VmRSS:\t  170000 kB\nRssAnon:\t   90000 kB\nRssFile:\t   79000 kB\nRssShmem:\t    1000 kB\n';
    expect(parseOwnResident(status)).toBe(91_000 * 1_024);
    expect(parseOwnResident('VmRSS:\t  170000 kB\n')).toBeUndefined();
  });

  it('grows with buffers', () => {
    const before = ownResidentBytes();
    const buffer = Buffer.alloc(64 * MIB, 1);
    expect(ownResidentBytes() - before).toBeGreaterThan(48 * MIB);
    expect(buffer.length).toBe(64 * MIB);
  });

  it('has a heap that fits in it, and flags that Node takes', () => {
    const script =
      'process.stdout.write(String(require("v8").getHeapStatistics().heap_size_limit))';
    for (const memoryMb of [256, 512]) {
      const run = spawnSync(process.execPath, [...heapFlags(memoryMb), '-e', script]);
      const limitMb = Number(String(run.stdout)) / MIB;
      expect(limitMb).toBeGreaterThan(memoryMb / 2);
      expect(limitMb).toBeLessThan(memoryMb * 0.9);
    }
    expect(heapFlags(512)).toContain('--max-semi-space-size=64');
    expect(heapFlags(4_096), 'a young space does not grow with the rest').toContain(
      '--max-semi-space-size=64',
    );
    expect(heapFlags(64)).toContain('--max-old-space-size=96');
  });

  it('is given to a process that has no supervisor, in its own place', () => {
    const module = new URL('./memory.ts', import.meta.url).href;
    const script = `
      import { getHeapStatistics } from 'node:v8';
      const { sizeOwnHeap } = await import(${JSON.stringify(module)});
      process.stdout.write(process.pid + ' ');
      const sized = sizeOwnHeap(256);
      const { heap_size_limit: limit } = getHeapStatistics();
      const arenas = process.env.MALLOC_ARENA_MAX;
      process.stdout.write(JSON.stringify({ sized, limit, arenas, args: process.argv.slice(2) }));
    `;
    const directory = mkdtempSync(join(tmpdir(), 'reachflow-heap-'));
    const file = join(directory, 'main.mjs');
    writeFileSync(file, script);
    const run = (flags: readonly string[], arenas: Record<string, string> = {}) => {
      const { MALLOC_ARENA_MAX: _, ...inherited } = process.env;
      const env = { ...inherited, ...arenas };
      const args = [...flags, file, 'a b'];
      const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
      const [, first, second, json] = /^(\d+) (?:(\d+) )?(\{.*)$/.exec(stdout) ?? [];
      return { pids: [first, second], result: JSON.parse(json ?? '{}') };
    };
    const { pids, result } = run([]);
    expect(pids[1], 'it began again, as the same process').toBe(pids[0]);
    expect(result).toMatchObject({ sized: true, arenas: '2', args: ['a b'] });
    expect(result.limit).toBeLessThan(256 * MIB);
    expect(run([], { MALLOC_ARENA_MAX: '5' }).result.arenas, 'somebody has set it').toBe('5');
    const given = run(['--max-old-space-size=1000']);
    expect(given.pids[1], 'somebody has sized it').toBeUndefined();
    expect(given.result.sized).toBe(false);
    expect(given.result.limit).toBeGreaterThan(999 * MIB);
    rmSync(directory, { recursive: true });
  });

  describe('watched', () => {
    beforeEach(() => void vi.useFakeTimers());
    afterEach(() => void vi.useRealTimers());

    it('says how much it was once it stayed above', async () => {
      const exceeded = untilMemoryExceeded(1, 5_000);
      let reason: string | undefined;
      void exceeded.then((text) => {
        reason = text;
      });
      await vi.advanceTimersByTimeAsync(10_000);
      expect(reason).toBeUndefined();
      await vi.advanceTimersByTimeAsync(5_000);
      expect(reason).toMatch(/^memory: \d+ MiB resident .* the limit is 1 MiB$/);
    });
  });
});
