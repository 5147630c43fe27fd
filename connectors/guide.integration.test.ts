import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testStack } from '../tests/integration/stack.ts';
import { writeGuideFiles } from '../tests/support/guide-files.ts';

const run = promisify(execFile);
const bin = join(import.meta.dirname, '../node_modules/.bin');

describe('docs/guides/add-a-connector.md', () => {
  let guide: Awaited<ReturnType<typeof writeGuideFiles>>;
  beforeAll(async () => {
    guide = await writeGuideFiles('docs/guides/add-a-connector.md');
    await writeFile(
      join(guide.dir, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] }),
    );
    await writeFile(
      join(guide.dir, 'vitest.config.mjs'),
      "export default { test: { include: ['*.test.ts'], testTimeout: 60_000 } };",
    );
  });
  afterAll(() => guide.remove());

  it('has a connector and its test', () => {
    expect(guide.files).toEqual(['config.ts', 'connector.ts', 'connector.test.ts']);
  });

  it('has a connector that keeps the contract on the real engines', {
    timeout: 180_000,
  }, async () => {
    const args = ['run', '--root', guide.dir, '--reporter', 'json'];
    const failed = (error: { stdout?: string }) => ({ stdout: error.stdout ?? String(error) });
    const { stdout } = await run(join(bin, 'vitest'), args, { env: cleanEnv() }).catch(failed);
    const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Record<string, number>;
    expect(report['numFailedTests'], stdout).toBe(0);
    expect(report['numPassedTests']).toBe(9);
  });

  it('passes the type check', { timeout: 120_000 }, async () => {
    await run(join(bin, 'tsc'), ['--noEmit', '-p', guide.dir]);
  });
});

/** Without what the outer run of vitest has set, with the engines that it started. */
function cleanEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|NODE_ENV|TEST)/.test(name),
  );
  return { ...Object.fromEntries(kept), REACHFLOW_TEST_STACK: JSON.stringify(testStack()) };
}
