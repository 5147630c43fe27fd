import type { Scenario } from '../harness/scenario.ts';
import { keys } from './keys.ts';
import { latency } from './latency.ts';
import { rebuild } from './rebuild.ts';
import { restore } from './restore.ts';
import { replay, t0, t1 } from './throughput.ts';
import { workers } from './workers.ts';

/** Every scenario there is. */
export const scenarios: readonly Scenario[] = [
  t0,
  t1,
  restore,
  workers,
  latency,
  keys,
  replay,
  rebuild,
];
