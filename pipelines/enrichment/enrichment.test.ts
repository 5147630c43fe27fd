import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../runtime/delivery/clock.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { Contact, ContactEnriched } from '../../schemas/types.ts';
import { type EnrichmentConfig, enrichmentConfigSchema } from './config.ts';
import { resultFor } from './providers/local/facts.ts';
import { type Answer, type Provider, ProviderError, providerKinds } from './providers/provider.ts';
import { readAnswers } from './providers/shapes.ts';
import { createEnrichmentPipeline } from './topology.ts';

const SECOND = 1_000;
const DAY = 86_400_000;

/** Providers as the local server's, in this process: what they were asked, and what they are made to do. */
class Providers {
  readonly asked: string[] = [];
  fails: Error | undefined;
  wrong: string | undefined;
  held: PromiseWithResolvers<void> | undefined;

  all(): readonly Provider[] {
    return providerKinds.map((kind) => ({
      kind,
      ask: async (subjects) => {
        this.asked.push(...subjects.map((subject) => `${kind} ${subject}`));
        const { fails, wrong } = this;
        await this.held?.promise;
        if (fails !== undefined) throw fails;
        const results = subjects.map((subject) => resultFor(kind, subject));
        const answers = readAnswers(kind, subjects, { results });
        if (answers === undefined) throw new Error('no answers');
        if (wrong === undefined) return answers;
        const failed: Answer = { outcome: 'failed', reason: wrong };
        return new Map([...answers.keys()].map((subject) => [subject, failed]));
      },
    }));
  }

  take(): string[] {
    return this.asked.splice(0).sort();
  }
}

const unavailable = new ProviderError('it answers 503', {
  ...{ code: 'PROVIDER_UNAVAILABLE', retry: 'backoff' },
});

const ada: Contact = {
  id: '1',
  tenant_id: 't',
  full_name: 'Ada Lovelace',
  email: 'Konrad@acme.example',
  phone: null,
  company_id: '7',
  company: 'Acme',
  company_domain: 'acme.example',
  industry: null,
  tags: [],
  score: null,
  created_at: 0,
  updated_at: 0,
  version: 10n,
};

let driver: TopologyTestDriver;
let providers: Providers;
afterEach(() => driver.close());

type Given = Parameters<(typeof enrichmentConfigSchema)['parse']>[0];

function configured(given: Given = {}): EnrichmentConfig {
  const fast = { lingerMs: 0, requestsPerSecond: 10_000, url: 'http://provider.example' };
  const { company, person, verification, ...rest } = (given ?? {}) as Record<string, object>;
  return enrichmentConfigSchema.parse({
    patienceMs: 5_000,
    attempts: { backoffMs: 1 },
    ...rest,
    company: { ...fast, ...company },
    person: { ...fast, ...person },
    verification: { ...fast, ...verification },
  });
}

async function open(given: Given = {}): Promise<void> {
  providers = new Providers();
  let now = () => Date.now();
  const clock = { ...systemClock, now: () => now() };
  const pipeline = createEnrichmentPipeline(configured(given), providers.all(), clock);
  driver = await TopologyTestDriver.open(pipeline);
  now = () => driver.now;
}

const pipe = (contact: Contact) => driver.pipe('contact.golden', contact.id, contact);
const enriched = () => driver.readValues('contact.enriched');
const completed = () =>
  driver
    .readValues('enrichment.completed')
    .map((event) => [event?.provider, event?.outcome, event?.cached]);
const ADA = [
  'company acme.example',
  'person konrad@acme.example',
  'verification konrad@acme.example',
];

/** The newest record, which must be there. */
function newest(): ContactEnriched {
  const last = enriched().at(-1);
  if (last === undefined || last === null) throw new Error('nothing was emitted');
  return last;
}

describe('the enrichment of a contact', () => {
  it('asks each provider once, and says of each field whose it is', async () => {
    await open();
    await pipe(ada);
    expect(providers.take()).toEqual(ADA);
    const record = newest();
    expect(record).toMatchObject({
      id: '1',
      tenant_id: 't',
      company: 'Acme',
      company_domain: 'acme.example',
      provenance: {
        company: 'cdc:companies',
        industry: 'company@2026-01-01T00:00:00.000Z',
        job_title: 'person@2026-01-01T00:00:00.000Z',
      },
      revision: 10n,
      version: 10n,
    });
    expect(record.providers.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ['company', 'found'],
      ['person', 'found'],
      ['verification', 'found'],
    ]);
    expect(completed()).toEqual([
      ['company', 'found', false],
      ['person', 'found', false],
      ['verification', 'found', false],
    ]);
  });

  it('asks nothing for a revision that changes neither address nor domain', async () => {
    await open();
    await pipe(ada);
    await pipe({ ...ada, full_name: 'Ada King', version: 11n });
    await pipe({ ...ada, email: 'konrad@ACME.example', version: 12n });
    providers.take();
    await pipe({ ...ada, tags: ['x'], version: 13n });
    expect(providers.take()).toEqual([]);
    expect(enriched()).toHaveLength(1);
  });

  it('emits again, without a call, when the company’s row changes', async () => {
    await open();
    await pipe(ada);
    providers.take();
    await pipe({ ...ada, company: 'Acme Ltd', industry: 'law', version: 20n });
    expect(providers.take()).toEqual([]);
    const { company, industry, provenance, version } = newest();
    expect([company, industry, provenance['industry'], version]).toEqual([
      'Acme Ltd',
      'law',
      'cdc:companies',
      20n,
    ]);
  });

  it('asks about another address, and forgets what was said of the first', async () => {
    await open();
    await pipe(ada);
    providers.take();
    await pipe({ ...ada, email: 'edith@acme.example', version: 11n });
    expect(providers.take()).toEqual([
      'person edith@acme.example',
      'verification edith@acme.example',
    ]);
    const record = newest();
    expect(record.email).toBe('edith@acme.example');
    expect(record.social_profiles).toEqual(['https://social.example/edith']);
    // And back again: the journal knows.
    await pipe({ ...ada, version: 12n });
    expect(providers.take()).toEqual([]);
    expect(newest().social_profiles).toEqual(['https://social.example/konrad']);
  });

  it('takes what it knows of a domain for all contacts there', async () => {
    await open();
    await pipe(ada);
    providers.take();
    completed();
    await pipe({ ...ada, id: '2', email: 'bob@acme.example' });
    expect(providers.take()).toEqual(['person bob@acme.example', 'verification bob@acme.example']);
    expect(completed()[0]).toEqual(['company', 'found', true]);
  });

  it('asks about no company where anybody can have an address, and nothing where there is none', async () => {
    await open();
    const alone = { company: null, company_id: null, company_domain: null };
    await pipe({ ...ada, ...alone, email: 'ada@gmail.com' });
    expect(providers.take()).toEqual(['person ada@gmail.com', 'verification ada@gmail.com']);
    await pipe({ ...ada, ...alone, id: '2', email: 'nobody' });
    expect(providers.take()).toEqual([]);
    expect(newest()).toMatchObject({ id: '2', email: null, providers: [] });
  });
});

describe('a contact that is deleted', () => {
  it('is no longer enriched, in the journal or remembered; created again it is asked about again', async () => {
    await open({
      person: { ttlMs: 1_000, staleMs: 0 },
      verification: { ttlMs: 1_000, staleMs: 0 },
    });
    await pipe(ada);
    providers.take();
    await driver.pipeTombstone('contact.golden', '1', { headers: { 'reachflow.version': '11' } });
    expect(driver.read('contact.enriched').at(-1)).toMatchObject({
      value: null,
      headers: { 'reachflow.version': '11' },
    });
    expect(driver.readValues('enrichment.answered').at(-1)).toBeNull();
    expect(driver.entries('answers').map(({ key }) => key.split('/')[0])).toEqual(['company']);
    expect(driver.entries('pending')).toEqual([]);
    await pipe({ ...ada, version: 12n });
    expect(newest().version).toBe(12n);
  });

  it('while it is asked about, is not emitted when the answer comes', async () => {
    await open({ patienceMs: 0 });
    providers.held = Promise.withResolvers();
    await pipe(ada);
    await driver.pipeTombstone('contact.golden', '1');
    providers.held.resolve();
    await delay(20);
    await driver.advanceWallClock(SECOND);
    expect(driver.read('contact.enriched')).toEqual([]);
    expect(completed()).toEqual([]);
  });
});

describe('a provider that fails', () => {
  it('is tried three times; then the contact goes on without, and asks again later', async () => {
    await open();
    providers.fails = unavailable;
    await pipe(ada);
    expect(providers.take()).toHaveLength(9);
    expect(newest().providers[0]).toMatchObject({ outcome: 'failed', reason: 'it answers 503' });
    expect(completed().map(([, outcome]) => outcome)).toEqual(['failed', 'failed', 'failed']);
    providers.fails = undefined;
    await driver.advanceWallClock(61 * SECOND);
    expect(providers.take()).toEqual(ADA);
    expect(newest().providers.map(({ outcome }) => outcome)).toEqual(['found', 'found', 'found']);
    await driver.advanceWallClock(DAY);
    expect(providers.take()).toEqual([]);
  });

  it('is asked again a bounded number of times, and nothing is emitted for it', async () => {
    await open({
      attempts: { times: 1 },
      askAgain: { times: 2 },
      breaker: { minimumCalls: 1_000 },
    });
    providers.fails = unavailable;
    await pipe(ada);
    enriched();
    for (let n = 0; n < 8; n += 1) await driver.advanceWallClock(DAY);
    expect(providers.take()).toHaveLength(3 + 2 * 3);
    expect(enriched()).toEqual([]);
    // Another revision that matters begins anew.
    await pipe({ ...ada, company: 'Acme Ltd', version: 11n });
    expect(providers.take()).toEqual(ADA);
  });

  it('with what does not fit, changes nothing of a record that there is', async () => {
    await open({ person: { ttlMs: 1_000, staleMs: DAY }, verification: { ttlMs: 1_000 } });
    await pipe(ada);
    const before = newest();
    completed();
    providers.wrong = 'the answer does not fit: job_title (invalid_type)';
    await driver.advanceWallClock(DAY);
    await pipe({ ...ada, company: 'Acme Ltd', version: 11n });
    const { company, ...after } = newest();
    expect(company).toBe('Acme Ltd');
    const { providers: said, social_profiles, job_title, email_status } = before;
    expect(after).toMatchObject({ providers: said, social_profiles, job_title, email_status });
    expect(completed().map(([, outcome]) => outcome)).toEqual(['failed', 'failed']);
  });

  it('and never answers, holds up nobody', async () => {
    await open({ patienceMs: 0 });
    providers.held = Promise.withResolvers();
    await pipe(ada);
    await delay(20);
    const { held } = providers;
    providers.held = undefined;
    await pipe({ ...ada, id: '2', email: 'bob@other.example', company_domain: 'other.example' });
    await delay(20);
    await driver.advanceWallClock(SECOND);
    expect(enriched().map((record) => record?.id)).toEqual(['2']);
    held.resolve();
    await delay(20);
    await driver.advanceWallClock(SECOND);
    expect(enriched().map((record) => record?.id)).toEqual(['1']);
  });
});

describe('an answer that is old', () => {
  it('is given at once, and asked for anew behind it', async () => {
    await open({ company: { ttlMs: 1_000, staleMs: 10 * DAY } });
    await pipe(ada);
    completed();
    await driver.advanceWallClock(DAY);
    providers.take();
    await pipe({ ...ada, id: '2', email: 'none' });
    const records = enriched().filter((record) => record?.id === '2');
    expect(records.map((record) => record?.providers[0]?.stale)).toEqual([true, false]);
    expect(providers.take()).toContain('company acme.example');
    expect(completed().filter(([provider]) => provider === 'company')).toEqual([
      ['company', 'found', true],
      ['company', 'found', false],
    ]);
  });
});

describe('what happened before', () => {
  it('is neither asked nor said again when requests come again', async () => {
    await open();
    await pipe(ada);
    await pipe({ ...ada, email: 'edith@acme.example', version: 11n });
    const requests = driver.readAll('enrichment.requested');
    const [asked, emitted] = [providers.take().length, enriched().length];
    for (const { key, value } of requests)
      if (value !== null) await driver.pipe('enrichment.requested', key, value);
    await driver.crash();
    expect([asked, emitted, providers.take(), enriched()]).toEqual([5, 2, [], []]);
  });

  it.each(['before-commit', 'after-end'] as const)(
    'is the same through a crash %s: one record, one event a provider',
    async (point) => {
      await open();
      driver.crashAt(point, 3);
      await pipe(ada);
      await driver.crash();
      await pipe({ ...ada, version: 11n });
      expect(driver.pendingCrashes).toEqual([]);
      expect(enriched()).toHaveLength(1);
      expect(completed()).toHaveLength(3);
    },
  );

  it('goes on after a crash with what was pending', async () => {
    await open({ patienceMs: 0 });
    providers.held = Promise.withResolvers();
    await pipe(ada);
    await driver.crash();
    providers.held.resolve();
    await delay(20);
    await driver.advanceWallClock(SECOND);
    expect(enriched()).toHaveLength(1);
    // The process lives on, and joins the call that is under way.
    expect(providers.take()).toEqual(ADA);
  });
});

describe('a replay', () => {
  it('has the same outcome from the journal alone, and calls nobody', async () => {
    await open();
    await pipe(ada);
    await pipe({ ...ada, email: 'edith@acme.example', version: 11n });
    const live = driver.readAll('contact.enriched').map(({ value }) => value);
    const journal = driver.readAll('enrichment.answered');
    await driver.close();
    providers = new Providers();
    const config = configured({ journal: 'read' });
    driver = await TopologyTestDriver.open(createEnrichmentPipeline(config, providers.all()));
    for (const { key, value } of journal)
      if (value !== null) await driver.pipe('enrichment.answered', key, value);
    await pipe(ada);
    await pipe({ ...ada, email: 'edith@acme.example', version: 11n });
    expect(enriched()).toEqual(live);
    expect(providers.take()).toEqual([]);
    await pipe({ ...ada, id: '2', email: 'new@acme.example' });
    expect(newest().providers[1]).toMatchObject({
      outcome: 'failed',
      reason: 'the journal has no answer',
    });
    await driver.advanceWallClock(DAY);
    expect(providers.take()).toEqual([]);
  });
});
