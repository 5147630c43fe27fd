import { afterEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { dlq, ok } from '../topology/outcome.ts';
import { tumbling } from '../topology/windows.ts';
import { event, MINUTE, SECOND, T0, tenantCount, webhook, windows } from './samples.ts';
import { type ReadDeadLetter, TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, eighth part: redrive. A dead letter comes back to the pipeline that gave up on it, and there only
 * to what it has not passed yet.
 */

let driver: TopologyTestDriver;

afterEach(() => driver.close());

async function open(build: (t: TopologyBuilder) => void): Promise<void> {
  driver = await TopologyTestDriver.open(defineTopology('manual', build));
}

function refused(): ReachflowError {
  return new ReachflowError('it is broken', { code: 'BROKEN', domain: 'user' });
}

/** Dedup; all events to one topic; those that are not broken, to another. */
function forked(t: TopologyBuilder): void {
  const events = t
    .stream('event.recorded')
    .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE });
  events.map('copy', ({ event_id }) => webhook({ event_id })).to('webhook.received');
  events
    .step('judge', (value) => (value.payload === 'broken' ? dlq(refused()) : ok(value)))
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: MINUTE }))
    .count('per-minute')
    .to('metric.tenant.count', { key: ({ key }) => key, value: tenantCount });
}

async function onlyLetter(): Promise<ReadDeadLetter> {
  const [letter, ...more] = driver.deadLetters();
  if (letter === undefined || more.length > 0) throw new Error('one dead letter was expected');
  return letter;
}

const broken = event({ event_id: 'b', payload: 'broken' });
const mended = { topic: 'event.recorded', value: event({ event_id: 'b' }) } as const;

describe('a dead letter that comes back', () => {
  it('passes the dedup step that it passed before, and goes where it could not go', async () => {
    await open(forked);
    await driver.pipe('event.recorded', 'b', broken, { timestamp: T0 });
    await driver.redrive(await onlyLetter(), mended);
    expect(windows(driver)).toEqual(['t 0-60 s: 1']);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('does not repeat what other branches made of it', async () => {
    await open(forked);
    await driver.pipe('event.recorded', 'b', broken);
    expect(driver.readValues('webhook.received')).toHaveLength(1);
    await driver.redrive(await onlyLetter(), mended);
    expect(driver.readValues('webhook.received')).toEqual([]);
  });

  it('meets the dedup steps behind the one that failed as any other record', async () => {
    await open((t) => {
      t.stream('event.recorded')
        .step('judge', (value) => (value.payload === 'broken' ? dlq(refused()) : ok(value)))
        .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
        .map('copy', ({ event_id }) => webhook({ event_id }))
        .to('webhook.received');
    });
    await driver.pipe('event.recorded', 'b', broken);
    // The sender sent it again, mended: it is there already.
    await driver.pipe('event.recorded', 'b', mended.value);
    await driver.redrive(await onlyLetter(), mended);
    expect(driver.readValues('webhook.received')).toHaveLength(1);
  });

  it('keeps where and when it came first when it fails again, and counts its returns', async () => {
    await open(forked);
    await driver.pipe('event.recorded', 'a', event({ event_id: 'a' }));
    await driver.pipe('event.recorded', 'b', broken, { timestamp: T0 + SECOND });
    const first = await onlyLetter();
    expect(first.info).toMatchObject({ offset: '1', replayCount: 0 });
    await driver.advanceWallClock(MINUTE);
    await driver.redrive(first);
    const second = await onlyLetter();
    await driver.redrive(second);
    const third = await onlyLetter();
    const { offset, timestamp, firstFailure, topic } = first.info;
    for (const [i, { info }] of [second, third].entries()) {
      expect(info).toMatchObject({ topic, offset, timestamp, firstFailure, replayCount: i + 1 });
    }
  });

  it('moves no watermark: what comes after it is no later than before', async () => {
    await open((t) => {
      t.stream('event.recorded', { name: 'in', timestamp: ({ occurred_at }) => occurred_at })
        .step('judge', (value) => (value.payload === 'broken' ? dlq(refused()) : ok(value)))
        .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
        .map('copy', ({ event_id }) => webhook({ event_id }))
        .to('webhook.received');
    });
    await driver.pipe('event.recorded', 'b', broken, { timestamp: T0 + MINUTE });
    const before = driver.watermark('in');
    expect(before).toBeGreaterThan(0);
    const newer = { event_id: 'b', occurred_at: T0 + 50 * SECOND };
    await driver.redrive(await onlyLetter(), { topic: 'event.recorded', value: event(newer) });
    expect(driver.readValues('webhook.received')).toHaveLength(1);
    expect(driver.watermark('in')).toBe(before);
    // The same as an ordinary record moves it.
    await driver.pipe('event.recorded', 'c', event({ ...newer, event_id: 'c' }));
    expect(driver.watermark('in')).toBeGreaterThan(before);
  });

  it('is read by that part of the pipeline alone that gave up on it', async () => {
    await open((t) => {
      t.stream('event.recorded', { name: 'first' })
        .step('judge', (value) => (value.payload === 'broken' ? dlq(refused()) : ok(value)))
        .map('copy', ({ event_id }) => webhook({ event_id }))
        .to('webhook.received');
      t.stream('event.recorded', { name: 'second' })
        .map('count', () => tenantCount({ key: 't', start: T0, end: T0, value: 1 }))
        .to('metric.tenant.count', { key: () => 't' });
    });
    await driver.pipe('event.recorded', 'b', broken);
    expect(driver.read('metric.tenant.count')).toHaveLength(1);
    await driver.redrive(await onlyLetter(), mended);
    expect(driver.readValues('webhook.received')).toHaveLength(1);
    expect(driver.read('metric.tenant.count')).toEqual([]);
  });

  it('comes back to the second half of a pipeline, behind a repartition topic, by itself', async () => {
    let isBroken = true;
    await open((t) => {
      t.stream('event.recorded')
        .groupBy(({ tenant_id }) => tenant_id)
        .window(tumbling({ sizeMs: MINUTE }))
        .count('per-minute')
        .step('judge', (value) => (isBroken ? dlq(refused()) : ok(value)))
        .to('metric.tenant.count', { key: ({ key }) => key, value: tenantCount });
    });
    await driver.pipe('event.recorded', 'a', event(), { timestamp: T0 });
    const letter = await onlyLetter();
    expect(letter.info.topic).toBe('manual.per-minute.repartition');
    isBroken = false;
    await driver.redrive(letter);
    // Behind a count it is counted again: `reachflow dlq redrive` asks before it does that.
    expect(windows(driver)).toEqual(['t 0-60 s: 2']);
  });
});
