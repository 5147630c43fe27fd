import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testStack } from '../tests/integration/stack.ts';
import {
  checkGuideTypes,
  type GuideFiles,
  runGuideTests,
  writeGuideFiles,
} from '../tests/support/guide-files.ts';

describe('docs/guides/add-a-connector.md', () => {
  let guide: GuideFiles;
  beforeAll(async () => {
    guide = await writeGuideFiles('docs/guides/add-a-connector.md');
  });
  afterAll(() => guide.remove());

  it('has a connector and its test', () => {
    expect(guide.files).toEqual(['config.ts', 'connector.ts', 'connector.test.ts']);
  });

  it('has a connector that keeps the contract on the real engines', {
    timeout: 180_000,
  }, async () => {
    const stack = { REACHFLOW_TEST_STACK: JSON.stringify(testStack()) };
    const { passed, failed, output } = await runGuideTests(guide, stack);
    expect(failed, output).toBe(0);
    expect(passed).toBe(9);
  });

  it('passes the type check', { timeout: 120_000 }, () => checkGuideTypes(guide));
});
