import { inject } from 'vitest';
import type { StackEndpoints } from '../../compose/endpoints.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Endpoints of the real engines that this test run started (`tests/integration/global-setup.ts`). */
    stack: StackEndpoints;
  }
}

/**
 * The real engines to test against: this run's own, or those of `REACHFLOW_TEST_STACK` (JSON of
 * `StackEndpoints`), to try one test against engines that are up already.
 */
export function testStack(): StackEndpoints {
  const given = process.env['REACHFLOW_TEST_STACK'];
  return given === undefined ? inject('stack') : (JSON.parse(given) as StackEndpoints);
}
