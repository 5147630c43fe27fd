import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkGuideTypes,
  type GuideFiles,
  runGuideTests,
  writeGuideFiles,
} from '../../tests/support/guide-files.ts';

describe('docs/guides/write-a-pipeline.md', () => {
  let guide: GuideFiles;
  beforeAll(async () => {
    guide = await writeGuideFiles('docs/guides/write-a-pipeline.md');
  });
  afterAll(() => guide.remove());

  it('has a pipeline and its test', () => {
    expect(guide.files).toEqual(['topology.ts', 'topology.test.ts']);
  });

  it('has a test that passes', { timeout: 60_000 }, async () => {
    const { passed, failed, output } = await runGuideTests(guide);
    expect(failed, output).toBe(0);
    expect(passed).toBe(3);
  });

  it('passes the type check', { timeout: 60_000 }, () => checkGuideTypes(guide));
});
