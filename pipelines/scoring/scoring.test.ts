import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CRASH_POINTS } from '../../runtime/testing/memory-log.ts';
import { contact, event, T0 } from '../../runtime/testing/samples.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { ContactScored, EventRecorded } from '../../schemas/types.ts';
import { modelToPublish } from './model/scoring-model.ts';
import { SWEEP_CONTACTS, SWEEP_EVERY_MS, UNKNOWN_CONTACT_MS } from './steps/score.ts';
import { leadModel, smallModel } from './testing/models.ts';
import { featuresOf, recomputed } from './testing/recompute.ts';
import { scoringPipeline } from './topology.ts';

const HOUR = 3_600_000;
const logins = smallModel([{ feature: 'login_count', from: 2, adds: 1 }]);
const clicks = smallModel([{ feature: 'clicks', from: 1, adds: 2 }]);

let driver: TopologyTestDriver;
beforeEach(async () => {
  driver = await TopologyTestDriver.open(scoringPipeline, { partitions: 2, startMs: T0 });
});
afterEach(() => driver.close());

const publish = (file: string, at: number, name = 'lead') =>
  driver.pipe('scoring.model', name, modelToPublish(name, file, at), { timestamp: at });

let events = 0;

function happened(id: string, type: string, change: Partial<EventRecorded> = {}) {
  events += 1;
  const value = event({
    event_id: String(events),
    entity_id: id,
    event_type: type,
    occurred_at: T0 + events,
    ...change,
  });
  return { key: `${value.tenant_id}:${id}`, value, timestamp: value.occurred_at };
}

const happen = (...args: Parameters<typeof happened>) =>
  driver.pipeAll('event.recorded', [happened(...args)]);

const is = (id: string, change = {}) =>
  driver.pipe('contact.golden', id, contact({ id, ...change }));

/** Newest score of each contact; null once it was deleted. */
function scores(): ReadonlyMap<string, ContactScored | null> {
  return new Map(driver.readAll('contact.scored').map(({ key, value }) => [key, value]));
}

async function sweep(times = 3): Promise<void> {
  for (let time = 0; time < times; time += 1) await driver.advanceWallClock(SWEEP_EVERY_MS + 1);
}

describe('a contact', () => {
  it('is scored by what it did and what it is, each time that changes', async () => {
    await publish(leadModel, T0);
    await is('7', {
      phone: '+442079460000',
      tags: ['social:x', 'vip', 'social:github', 'social:X'],
    });
    await driver.pipeAll('event.recorded', [
      happened('7', 'user.login'),
      happened('7', 'user.login'),
      happened('7', 'api.called'),
      happened('7', 'data.uploaded', { payload: '{"bytes":4096}' }),
      happened('7', 'email.sent'),
      happened('7', 'email.opened'),
      happened('7', 'email.clicked'),
      happened('7', 'email.responded'),
      happened('7', 'page.viewed'),
    ]);
    const [before, after, ...more] = driver.readValues('contact.scored');
    expect(more).toEqual([]);
    expect(before).toMatchObject({
      login_count: 0,
      email_valid: true,
      social_profiles: 2,
      version: 1n,
    });
    expect(after).toMatchObject({
      contact_id: '7',
      tenant_id: 't',
      model: 'lead',
      login_count: 2,
      api_calls: 1,
      data_uploaded: 4_096,
      email_valid: true,
      phone_valid: true,
      social_profiles: 2,
      emails_sent: 1,
      opens: 1,
      clicks: 1,
      responses: 1,
      version: 2n,
    });
    for (const scored of [before, after]) {
      if (!scored) throw new Error('no score');
      expect(scored.score).toBeCloseTo(recomputed(leadModel, featuresOf(scored)), 6);
    }
    expect(after?.score).not.toBeCloseTo(before?.score ?? 0, 2);
    // Another name, the same features: no score.
    await is('7', {
      full_name: 'A. L.',
      phone: '+442079460000',
      tags: ['social:x', 'social:github'],
      version: 2n,
    });
    expect(driver.readValues('contact.scored')).toEqual([]);
  });

  it('whose events come before it has them counted once it comes', async () => {
    await publish(logins, T0);
    await happen('1', 'user.login');
    await happen('1', 'user.login');
    expect(scores().size).toBe(0);
    await is('1');
    expect(scores().get('1')).toMatchObject({ login_count: 2 });
  });

  it('has no share in what another tenant says of its id', async () => {
    await publish(logins, T0);
    await is('1');
    await happen('1', 'user.login', { tenant_id: 'other' });
    await happen('1', 'user.login');
    expect(scores().get('1')).toMatchObject({ tenant_id: 't', login_count: 1 });
    // It goes to that tenant: with that tenant's events, and a later version.
    await is('1', { tenant_id: 'other', version: 2n });
    expect(scores().get('1')).toMatchObject({ tenant_id: 'other', login_count: 1, version: 3n });
    await is('1', { tenant_id: 'third', version: 3n });
    expect(scores().get('1')).toMatchObject({ tenant_id: 'third', login_count: 0, version: 4n });
  });

  it('that is deleted has its score deleted; made anew it begins anew, with a later version', async () => {
    await publish(logins, T0);
    await is('1', { version: 5n });
    await happen('1', 'user.login');
    const headers = { 'reachflow.version': '4' };
    await driver.pipeTombstone('contact.golden', '1', { headers });
    expect(scores().get('1')).toMatchObject({ version: 2n });
    await driver.pipeTombstone('contact.golden', '1', { headers: { 'reachflow.version': '6' } });
    const last = driver.readAll('contact.scored').at(-1);
    expect(last).toMatchObject({ key: '1', value: null, headers: { 'reachflow.version': '3' } });
    await driver.crash();
    await is('1', { version: 7n });
    expect(scores().get('1')).toMatchObject({ login_count: 0, version: 4n });
  });

  it('that never comes is forgotten after a week', async () => {
    await happen('ghost', 'user.login');
    expect(driver.entries('scored')).toHaveLength(1);
    await is('other');
    await driver.advanceWatermark(T0 + UNKNOWN_CONTACT_MS + HOUR);
    expect(driver.entries('scored').map(({ key }) => key)).toEqual(['other\nt']);
  });
});

it('an upload that does not say how much is dead-lettered, with the reason', async () => {
  for (const payload of ['{}', '{"bytes":-1}', '{"bytes":"9"}', '{"bytes":1.5}', '7', '[]', 'null'])
    await happen('1', 'data.uploaded', { payload });
  const letters = driver.deadLetters();
  expect(letters).toHaveLength(7);
  expect(letters[0]?.info.message).toContain('no whole number bytes');
  expect(driver.entries('scored')).toEqual([]);
});

describe('another model', () => {
  it('is used from its publication on; a sweep scores the other contacts again', async () => {
    const people = Array.from({ length: 2 * SWEEP_CONTACTS + 500 }, (_, n) => String(n));
    const all = people.map((id) => ({ key: id, value: contact({ id }) }));
    await driver.pipeAll('contact.golden', all);
    expect(scores().size).toBe(0);
    await publish(logins, T0 + 1);
    await sweep();
    expect(scores().size).toBe(people.length);
    await publish(clicks, T0 + 2);
    await happen('3', 'email.clicked');
    expect(scores().get('3')).toMatchObject({ clicks: 1, scored_at: T0 + events });
    expect(scores().get('3')?.score).toBeCloseTo(recomputed(clicks, { clicks: 1 }), 6);
    // In the middle of the sweep: it goes on where it was.
    await sweep(1);
    const version = modelToPublish('lead', clicks, 0).version;
    const swept = () => [...scores().values()].filter((s) => s?.model_version === version).length;
    expect(swept()).toBeGreaterThan(1);
    expect(swept()).toBeLessThanOrEqual(2 * SWEEP_CONTACTS + 1);
    await driver.crash();
    await sweep();
    expect(swept()).toBe(people.length);
    const written = driver.readAll('contact.scored');
    expect(written.filter(({ value }) => value?.model_version === version)).toHaveLength(
      people.length,
    );
    const versions = written.filter(({ key }) => key === '3').map(({ value }) => value?.version);
    expect(versions).toEqual([1n, 2n]);
  });

  it('of another name, or of an earlier time, is not used', async () => {
    await publish(logins, T0 + 10);
    await is('1');
    await publish(clicks, T0 + 20, 'next');
    await publish(clicks, T0 + 5);
    await happen('1', 'email.clicked');
    const { version } = modelToPublish('lead', logins, 0);
    expect(scores().get('1')).toMatchObject({ model: 'lead', model_version: version, clicks: 1 });
  });

  it('that is refused leaves the old one in use, for ever: also once it is all that the topic holds', async () => {
    await publish(logins, T0);
    await is('1');
    const bad = {
      ...modelToPublish('lead', clicks, T0 + 1),
      model: clicks.replace('"clicks"', '"age"'),
    };
    await expect(driver.pipe('scoring.model', 'lead', bad)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
    });
    const forged = { ...modelToPublish('lead', clicks, T0 + 1), version: '0'.repeat(16) };
    await expect(driver.pipe('scoring.model', 'lead', forged)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
    });
    await driver.setTable('scoring.model', 'lead', undefined);
    await driver.crash();
    await happen('1', 'user.login');
    await happen('1', 'user.login');
    expect(scores().get('1')?.score).toBeCloseTo(recomputed(logins, { login_count: 2 }), 6);
  });
});

describe('a process that is killed', () => {
  async function run(crash?: (driver: TopologyTestDriver) => void) {
    events = 0;
    driver = await TopologyTestDriver.open(scoringPipeline, { partitions: 2, startMs: T0 });
    crash?.(driver);
    await publish(logins, T0);
    for (const id of ['1', '2', '3']) await is(id);
    for (let round = 0; round < 5; round += 1)
      await driver.pipeAll(
        'event.recorded',
        ['1', '2', '3'].map((id) => happened(id, 'user.login')),
      );
    await driver.pipeTombstone('contact.golden', '2', { headers: { 'reachflow.version': '9' } });
    await publish(clicks, T0 + 1);
    await happen('3', 'email.clicked');
    await sweep();
    const last = [...scores()].map(([id, scored]) => [id, scored && { ...scored, version: 0n }]);
    await driver.close();
    return last;
  }

  it.each(CRASH_POINTS)('%s: the same scores come of it', async (point) => {
    const expected = await run();
    expect(expected).toHaveLength(3);
    for (const nth of [1, 3, 7])
      expect(await run((killed) => killed.crashAt(point, nth))).toEqual(expected);
    driver = await TopologyTestDriver.open(scoringPipeline);
  });
});
