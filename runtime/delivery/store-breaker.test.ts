import { describe, expect, it } from 'vitest';
import type { Clock } from './clock.ts';
import { StoreBreaker } from './store-breaker.ts';

const options = {
  windowMs: 60_000,
  failureRatio: 0.5,
  minimumWrites: 4,
  openMs: 60_000,
  probes: 3,
  successesToClose: 5,
};

function opened() {
  const time = { now: 5_000_000 };
  const clock: Clock = { now: () => time.now, sleep: async () => undefined, random: () => 0 };
  const changes: string[] = [];
  const breaker = new StoreBreaker(options, clock, (state) => changes.push(state));
  const write = (succeeded: boolean) => {
    const settle = breaker.enter();
    if (typeof settle === 'number') throw new Error('it is open');
    settle(succeeded);
  };
  return { time, breaker, changes, write };
}

describe('the breaker of a store', () => {
  it('opens at half of the writes, not before there are enough', () => {
    const { breaker, write } = opened();
    for (const succeeded of [false, false, false]) write(succeeded);
    expect(breaker.state).toBe('closed');
    write(true);
    write(false);
    expect(breaker.state).toBe('open');
    expect(breaker.enter()).toBe(60_000);
  });

  it('forgets what is older than its window', () => {
    const { time, breaker, write } = opened();
    for (let i = 0; i < 3; i += 1) write(false);
    time.now += 61_000;
    write(false);
    expect(breaker.state).toBe('closed');
  });

  it('lets three probes in at a time, and closes after five successes', () => {
    const { time, breaker, changes, write } = opened();
    for (let i = 0; i < 4; i += 1) write(false);
    expect(changes).toEqual(['open']);
    time.now += 60_000;
    expect(breaker.state).toBe('half-open');
    const probes = [breaker.enter(), breaker.enter(), breaker.enter()];
    expect(breaker.enter()).toBeTypeOf('number');
    for (const probe of probes) if (typeof probe === 'function') probe(true);
    write(true);
    expect(breaker.state).toBe('half-open');
    write(true);
    expect(breaker.state).toBe('closed');
    expect(changes).toEqual(['open', 'half-open', 'closed']);
  });

  it('opens again when a probe fails; what began before counts no more', () => {
    const { time, breaker, changes, write } = opened();
    const slow = breaker.enter();
    for (let i = 0; i < 4; i += 1) write(false);
    time.now += 60_000;
    const probe = breaker.enter();
    write(false);
    expect(breaker.state).toBe('open');
    for (const late of [slow, probe]) if (typeof late === 'function') late(true);
    expect(breaker.state).toBe('open');
    expect(changes).toEqual(['open', 'half-open', 'open']);
  });
});
