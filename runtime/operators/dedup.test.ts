import { afterEach, describe, expect, it } from 'vitest';
import { MINUTE, show, shown, webhook } from '../testing/samples.ts';
import { TopologyTestDriver } from '../testing/topology-test-driver.ts';
import { defineTopology } from '../topology/builder.ts';

describe('dedup', () => {
  let driver: TopologyTestDriver;
  afterEach(() => driver.close());

  async function run(): Promise<void> {
    const topology = defineTopology('p', (t) => {
      t.stream('webhook.received')
        .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
        .map('show', ({ payload }) => shown(payload))
        .to('event.recorded');
    });
    driver = await TopologyTestDriver.open(topology);
  }

  const pipe = (...ids: string[]) =>
    driver.pipeAll(
      'webhook.received',
      ids.map((event_id, i) => ({
        key: 'k',
        value: webhook({ event_id, payload: String(i) }),
      })),
    );

  it('dead-letters a record whose id is too long, and goes on with the next', async () => {
    await run();
    await pipe('a', 'x'.repeat(1_001), 'b');
    expect(show(driver)).toEqual(['0', '2']);
    const [letter, ...others] = driver.deadLetters();
    expect(others).toEqual([]);
    expect(letter?.info).toMatchObject({ step: 'once', code: 'ID_TOO_LONG' });
    expect(letter?.info.message).toMatch(/^once: an id has 1001 bytes, more than 1000: x{40}…$/);
    expect(driver.entries('once')).toHaveLength(2);
  });

  it('measures ids in bytes of UTF-8, and takes those that are just short enough', async () => {
    await run();
    // 1,000 bytes, 1,000 bytes of two each, and two more.
    await pipe('x'.repeat(1_000), 'ü'.repeat(500), 'ü'.repeat(501), 'x'.repeat(1_000));
    expect(show(driver)).toEqual(['0', '1']);
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['ID_TOO_LONG']);
    expect(driver.counters().steps.get('once')?.dropped).toEqual(new Map([['duplicate', 1]]));
  });
});
