import { defineConfig } from 'vitest/config';

const INTEGRATION = '**/*.integration.test.ts';
const IGNORED = ['**/node_modules/**', '**/.reachflow/**', '**/target/**'];

/** `unit` needs no server; `integration` starts the real engines once, and shares them. */
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
          name: 'integration',
          include: [INTEGRATION],
          exclude: IGNORED,
          globalSetup: ['tests/integration/global-setup.ts'],
          // The engines share one machine: files that ran together would measure each other.
          fileParallelism: false,
          pool: 'forks',
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
