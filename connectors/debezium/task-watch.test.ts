import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ConnectorState } from './connect-client.ts';
import { TaskWatch } from './task-watch.ts';

const INTERVAL_MS = 1_000;

describe('TaskWatch', () => {
  let failed: string[] = [];
  let restarts: number[] = [];
  let away = false;
  let watch: TaskWatch;

  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
    failed = [];
    restarts = [];
    away = false;
    watch = new TaskWatch({
      client: {
        status: async () => {
          if (away) throw new Error('away');
          return {} as ConnectorState;
        },
        restart: async () => {
          restarts.push(Date.now());
        },
      },
      connector: 'c',
      logger: pino({ level: 'silent' }),
      intervalMs: INTERVAL_MS,
      failuresOf: () => failed,
    });
    watch.start();
  });
  afterEach(async () => {
    await watch.stop();
    vi.useRealTimers();
  });

  it('leaves alone what runs', async () => {
    await vi.advanceTimersByTimeAsync(60_000);
    expect(restarts).toEqual([]);
  });

  it('restarts what failed, with pauses that grow to a minute', async () => {
    failed = ['task 0 failed'];
    await vi.advanceTimersByTimeAsync(600_000);
    expect(restarts[0]).toBe(INTERVAL_MS);
    const pauses = restarts.slice(1).map((at, i) => at - (restarts[i] ?? 0));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(61_000);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(30_000);
    expect(restarts.length).toBeLessThan(40);
  });

  it('begins with short pauses again after it ran, and outlives that Connect is away', async () => {
    failed = ['task 0 failed'];
    await vi.advanceTimersByTimeAsync(120_000);
    failed = [];
    await vi.advanceTimersByTimeAsync(61_000);
    away = true;
    await vi.advanceTimersByTimeAsync(10_000);
    away = false;
    failed = ['task 0 failed'];
    const before = restarts.length;
    await vi.advanceTimersByTimeAsync(2 * INTERVAL_MS);
    expect(restarts.length).toBeGreaterThan(before);
  });
});
