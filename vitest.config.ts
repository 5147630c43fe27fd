import { defineConfig } from 'vitest/config';

const INTEGRATION = '**/*.integration.test.ts';
const FAULTS = `tests/faults/${INTEGRATION}`;
const IGNORED = ['**/node_modules/**', '**/.reachflow/**', '**/target/**'];

/** With real engines, started once and shared. */
const onEngines = {
  globalSetup: ['tests/integration/global-setup.ts'],
  // The engines share one machine: files that ran together would measure each other.
  fileParallelism: false,
  pool: 'forks' as const,
  testTimeout: 120_000,
  hookTimeout: 180_000,
};

/**
 * `unit` needs no server. `faults` are integration tests that kill workers and engines, and count: a project of their own,
 * with engines of its own.
 */
export default defineConfig({
  test: {
    teardownTimeout: 60_000,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...IGNORED, INTEGRATION],
          // By default one core is left alone: on two, files would run one after the other.
          maxWorkers: '100%',
          // A limit for what hangs: on a busy machine a test of a second takes many.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          ...onEngines,
          name: 'integration',
          include: [INTEGRATION],
          exclude: [...IGNORED, FAULTS],
        },
      },
      { test: { ...onEngines, name: 'faults', include: [FAULTS], exclude: IGNORED } },
    ],
  },
});
