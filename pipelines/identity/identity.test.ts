import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { ContactObserved } from '../../schemas/types.ts';
import { MAX_BLOCK } from './resolve/records.ts';
import { identityPipeline } from './topology.ts';

const T0 = Date.UTC(2026, 0, 1);
const KINDS = ['created', 'updated', 'merged', 'deleted'] as const;

const ada: ContactObserved = {
  tenant_id: 't',
  source: 'cdc:contacts',
  source_id: '1',
  version: 1n,
  is_snapshot: false,
  is_deleted: false,
  full_name: 'Ada Lovelace',
  given_name: 'Ada',
  family_name: 'Lovelace',
  email: 'ada@example.com',
  phone: '+4915112345678',
  birth_date: null,
  street: null,
  locality: null,
  city: 'London',
  region: null,
  postcode: null,
  country: null,
  company: 'Analytical Engines',
  company_domain: null,
  tags: ['maths'],
  created_at: T0 - 1_000,
  updated_at: T0,
  quality: 0.5,
};

/** The same person as a form knows her. */
const form: Partial<ContactObserved> = {
  source: 'webhook:form',
  source_id: 'a',
  full_name: 'Ada Lovelase',
  family_name: 'Lovelase',
  phone: null,
  city: null,
  company: null,
  birth_date: '1815-12-10',
  tags: ['newsletter'],
  updated_at: T0 + 1_000,
};

const grace: Partial<ContactObserved> = {
  source_id: '2',
  full_name: 'Grace Hopper',
  given_name: 'Grace',
  family_name: 'Hopper',
  email: 'grace@example.org',
  phone: '+12133734253',
};

let driver: TopologyTestDriver;
beforeEach(async () => {
  driver = await TopologyTestDriver.open(identityPipeline);
});
afterEach(() => driver.close());

function observe(change: Partial<ContactObserved> = {}): Promise<void> {
  const value = { ...ada, ...change };
  return driver.pipe('contact.observed', value.tenant_id, value);
}

function events() {
  return KINDS.flatMap((kind) => driver.readValues(`contact.${kind}`)).filter(
    (event) => event !== null,
  );
}

function golden() {
  return driver.readValues('contact.unified');
}

describe('a contact', () => {
  it('is created, with where each field is from', async () => {
    await observe();
    expect(golden()).toEqual([
      expect.objectContaining({
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        email: 'ada@example.com',
        members: ['cdc:contacts/1'],
        created_at: T0 - 1_000,
        updated_at: T0,
        version: 1n,
        provenance: {
          full_name: 'cdc:contacts/1@1',
          given_name: 'cdc:contacts/1@1',
          family_name: 'cdc:contacts/1@1',
          email: 'cdc:contacts/1@1',
          phone: 'cdc:contacts/1@1',
          city: 'cdc:contacts/1@1',
          company: 'cdc:contacts/1@1',
        },
      }),
    ]);
    expect(events()).toMatchObject([
      { kind: 'created', cause: 'cdc:contacts/1@1', split_from: null, version: 1n },
    ]);
  });

  it('takes in another source’s record: trusted sources first, what they lack from the next', async () => {
    await observe();
    await observe(form);
    const [, merged] = golden();
    expect(merged).toMatchObject({
      full_name: 'Ada Lovelace',
      birth_date: '1815-12-10',
      city: 'London',
      tags: ['maths', 'newsletter'],
      members: ['cdc:contacts/1', 'webhook:form/a'],
      updated_at: T0 + 1_000,
      version: 2n,
    });
    expect(merged?.provenance).toMatchObject({
      full_name: 'cdc:contacts/1@1',
      birth_date: 'webhook:form/a@1',
    });
    expect(events()).toMatchObject([
      { kind: 'created' },
      { kind: 'updated', changed_fields: ['birth_date', 'tags', 'members', 'updated_at'] },
    ]);
  });

  it('of two that turn out to be one is merged into the older', async () => {
    await observe();
    await observe({ ...form, email: 'al@elsewhere.net', birth_date: null });
    expect(events().map(({ kind }) => kind)).toEqual(['created', 'created']);
    const [first, second] = golden();
    await observe({ ...form, version: 2n });
    const [now, gone] = driver.read('contact.unified');
    expect(now).toMatchObject({ key: first?.id, value: { version: 2n } });
    expect(gone).toMatchObject({
      key: second?.id,
      value: null,
      headers: { 'reachflow.version': '2' },
    });
    expect(events()).toMatchObject([
      { kind: 'updated', contact_id: first?.id },
      { kind: 'merged', contact_id: second?.id, into: first?.id },
    ]);
  });

  it('comes apart when a source says otherwise, under the ids of before', async () => {
    await observe();
    await observe({ ...form, email: 'al@elsewhere.net', birth_date: null });
    const [first, second] = golden();
    await observe({ ...form, version: 2n });
    golden();
    events();
    await observe({ ...form, ...grace, source: 'webhook:form', source_id: 'a', version: 3n });
    expect(golden().map((contact) => [contact?.id, contact?.full_name, contact?.version])).toEqual([
      [first?.id, 'Ada Lovelace', 3n],
      [second?.id, 'Grace Hopper', 3n],
    ]);
    expect(events()).toMatchObject([
      { kind: 'created', contact_id: second?.id, split_from: first?.id },
      { kind: 'updated', contact_id: first?.id, members: ['cdc:contacts/1'] },
    ]);
  });

  it('that two records held together by a third comes apart when the third is deleted', async () => {
    const left = { ...ada, source_id: 'l', phone: null, company: null, city: null };
    const right = { ...ada, source_id: 'r', email: null, company: null, city: null };
    await observe(left);
    await observe(right);
    expect(golden()).toHaveLength(2);
    await observe({ ...ada, source_id: 'm' });
    expect(events().map(({ kind }) => kind)).toEqual(['created', 'created', 'updated', 'merged']);
    golden();
    await observe({ ...ada, source_id: 'm', version: 2n, is_deleted: true });
    expect(events().map(({ kind }) => kind)).toEqual(['created', 'updated']);
    expect(golden().map((contact) => contact?.members)).toEqual([
      ['cdc:contacts/l'],
      ['cdc:contacts/r'],
    ]);
  });

  it('is deleted with its last source record, and comes again with a newer version', async () => {
    await observe();
    await observe({ version: 2n, is_deleted: true });
    await observe({ version: 2n, is_deleted: true });
    await observe({ version: 3n });
    expect(golden().map((contact) => contact?.version)).toEqual([1n, undefined, 3n]);
    expect(events().map(({ kind }) => kind)).toEqual(['created', 'created', 'deleted']);
  });

  it('goes on under the id of the next source record when the first is deleted', async () => {
    await observe();
    await observe(form);
    const id = golden()[0]?.id;
    events();
    await observe({ version: 2n, is_deleted: true });
    const [created, merged] = events();
    expect(created).toMatchObject({ kind: 'created', split_from: id, members: ['webhook:form/a'] });
    expect(merged).toMatchObject({ kind: 'merged', contact_id: id, into: created?.contact_id });
  });

  it('does not follow what is older than what it knows, or the same again', async () => {
    await observe({ version: 5n });
    await observe({ version: 4n, city: 'Paris' });
    await observe({ version: 3n, is_deleted: true });
    await observe({ version: 5n });
    expect(golden()).toHaveLength(1);
    expect(driver.counters().steps.get('match')?.dropped).toEqual(
      new Map([
        ['superseded', 2],
        ['unchanged', 1],
      ]),
    );
  });

  it('follows a change of a smaller version than a snapshot’s', async () => {
    await observe({ version: 9n, is_snapshot: true });
    await observe({ version: 4n, city: 'Paris' });
    expect(golden().map((contact) => contact?.city)).toEqual(['London', 'Paris']);
  });

  it('of one tenant is never that of another', async () => {
    await observe();
    await observe({ tenant_id: 'u' });
    expect(events()).toMatchObject([
      { kind: 'created', tenant_id: 't' },
      { kind: 'created', tenant_id: 'u' },
    ]);
    expect(new Set(golden().map((contact) => contact?.id)).size).toBe(2);
  });

  it('is known after a crash as before it', async () => {
    await observe();
    await driver.crash();
    await observe(form);
    expect(golden().map((contact) => contact?.members.length)).toEqual([1, 2]);
  });
});

describe('limits', () => {
  it('hold back what shares a mailbox or a phone with too many, and say so; nothing is merged by it', async () => {
    const staff = Array.from({ length: MAX_BLOCK + 2 }, (_, n) => ({
      key: 't',
      value: {
        ...ada,
        source_id: `${n}`,
        full_name: `${NAMES[n % 8]} ${SURNAMES[Math.trunc(n / 8)]}`,
        given_name: NAMES[n % 8] ?? '',
        family_name: SURNAMES[Math.trunc(n / 8)] ?? '',
        email: 'info@example.com',
        phone: `+49151${10_000_000 + n * 7_919}`,
        company: null,
        city: null,
      },
    }));
    await driver.pipeAll('contact.observed', staff);
    expect(new Set(golden().map((contact) => contact?.id)).size).toBe(MAX_BLOCK + 2);
    const held = driver.readValues('contact.held_back');
    expect(held).toMatchObject([
      { source_id: `${MAX_BLOCK}`, reason: 'block', shared: 'email', limit: MAX_BLOCK },
      { source_id: `${MAX_BLOCK + 1}`, reason: 'block', shared: 'email', limit: MAX_BLOCK },
    ]);
  });

  it('hold back what would make a contact of too many source records', async () => {
    const many = Array.from({ length: 52 }, (_, n) => ({
      key: 't',
      // Alike in pairs through the phone, so that no block is full, but all of one name and mailbox.
      value: {
        ...ada,
        source_id: `${n}`,
        email: `ada${Math.trunc(n / 40)}@example.com`,
        phone: '+4915112345678',
      },
    }));
    await driver.pipeAll('contact.observed', many);
    const contacts = new Map(golden().flatMap((c) => (c === null ? [] : [[c.id, c] as const])));
    for (const { members } of contacts.values()) expect(members.length).toBeLessThanOrEqual(50);
    expect(driver.readValues('contact.held_back').length).toBeGreaterThan(0);
  });
});

const NAMES = ['Ada', 'Grace', 'Konrad', 'Barbara', 'Edsger', 'Wilhelmina', 'Zhu', 'Olufemi'];
const SURNAMES = ['Lovelace', 'Hopper', 'Zuse', 'Liskov', 'Dijkstra', 'Ng', 'Okonkwo', 'Vaughan'];
