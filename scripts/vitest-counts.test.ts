import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addCounts, countsText, readCounts } from './vitest-counts.ts';

describe('readCounts', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'reachflow-counts-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const file = (status: string, ...results: string[]) => ({
    status,
    assertionResults: results.map((result) => ({ status: result })),
  });

  function counts(exitCode: number, ...testResults: unknown[]) {
    const path = join(dir, 'report.json');
    writeFileSync(path, JSON.stringify({ testResults }));
    return readCounts(path, exitCode);
  }

  it('adds up files', () => {
    const read = counts(1, file('passed', 'passed', 'skipped'), file('failed', 'passed', 'failed'));
    expect(read).toEqual({ passed: 2, failed: 1, skipped: 1 });
  });

  it('counts a file that failed before its first test', () => {
    expect(counts(1, file('failed'), file('passed', 'passed'))).toMatchObject({
      passed: 1,
      failed: 1,
    });
  });

  it('counts a run that ended badly with nothing failed, and one without a report', () => {
    expect(counts(1, file('passed', 'passed'))).toMatchObject({ passed: 1, failed: 1 });
    expect(readCounts(join(dir, 'none.json'), 0)).toMatchObject({ passed: 0, failed: 1 });
  });

  it('prints', () => {
    const sum = addCounts(
      { passed: 1, failed: 2, skipped: 0 },
      { passed: 3, failed: 0, skipped: 1 },
    );
    expect(countsText(sum)).toBe('4 passed, 2 failed, 1 skipped');
    expect(countsText({ passed: 1, failed: 0, skipped: 0 })).toBe('1 passed, 0 failed');
  });
});
