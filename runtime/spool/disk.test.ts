import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { canMount, inSmallDisk } from '../../tests/support/trial/small-disk.ts';

interface Outcome {
  readonly refusals: readonly string[];
  readonly before: number;
  readonly kept: readonly number[];
  readonly trimmed: number;
  readonly found: readonly number[];
  readonly damagedBytes: number;
}

describe('a log on a small disk', () => {
  it.runIf(canMount())(
    'a full disk refuses what it cannot keep, keeps what it took, and goes on once there is room',
    { timeout: 90_000 },
    async () => {
      const dir = mkdtempSync(join(tmpdir(), 'reachflow-small-'));
      try {
        const script = join(import.meta.dirname, 'testing', 'fill-disk.ts');
        const [command = '', ...args] = [...inSmallDisk(dir, '2m'), process.execPath, script, dir];
        const { stdout } = await promisify(execFile)(command, args);
        const outcome = JSON.parse(stdout) as Outcome;
        expect(outcome.refusals).toEqual(['SPOOL_UNAVAILABLE']);
        expect(outcome.before).toBeGreaterThan(100);
        expect(outcome.kept.length).toBeGreaterThanOrEqual(outcome.before + 3);
        expect(outcome.found).toEqual(outcome.kept.slice(outcome.trimmed));
        expect(outcome.damagedBytes).toBe(0);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  );
});
