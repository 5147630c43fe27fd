import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkGuideTypes,
  type GuideFiles,
  runGuideTests,
  writeGuideFiles,
} from '../tests/support/guide-files.ts';

describe('docs/guides/add-a-sink.md', () => {
  let guide: GuideFiles;
  beforeAll(async () => {
    guide = await writeGuideFiles('docs/guides/add-a-sink.md');
  });
  afterAll(() => guide.remove());

  it('has a sink and its test', () => {
    expect(guide.files).toEqual(['sink.ts', 'sink.test.ts']);
  });

  it('has a sink that keeps the contract', { timeout: 120_000 }, async () => {
    const { passed, failed, output } = await runGuideTests(guide);
    expect(failed, output).toBe(0);
    expect(passed).toBeGreaterThan(50);
  });

  it('passes the type check', { timeout: 120_000 }, () => checkGuideTypes(guide));
});
