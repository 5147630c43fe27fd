import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The projects of `vitest.config.ts`, in the order in which they begin. */
export const testProjects = ['unit', 'integration', 'faults'] as const;
export type TestProject = (typeof testProjects)[number];

/** Where `npm test` leaves a project's report, in JSON. @param root of the checkout. */
export function reportOf(root: string, project: TestProject): string {
  return join(root, '.reachflow', 'test', `${project}.json`);
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part of Vitest's JSON report (that of Jest) that we read. */
interface Report {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * What a Vitest run came to. A file that failed before its first test counts as one failure, and so does a run that
 * left no report, or ended badly with nothing failed: an unhandled error, or engines that did not start.
 */
export function readCounts(reportFile: string, exitCode: number): Counts {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const { status, assertionResults } of report.testResults) {
    const failures = assertionResults.filter((result) => result.status === 'failed').length;
    const passes = assertionResults.filter((result) => result.status === 'passed').length;
    passed += passes;
    failed += status === 'failed' ? Math.max(1, failures) : failures;
    skipped += assertionResults.length - passes - failures;
  }
  if (exitCode !== 0 && failed === 0) failed = 1;
  return { passed, failed, skipped };
}

/** E.g. `12 passed, 1 failed, 2 skipped`. */
export function countsText({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}

export function addCounts(a: Counts, b: Counts): Counts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  };
}
