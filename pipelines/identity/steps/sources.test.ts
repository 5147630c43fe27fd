import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopologyTestDriver } from '../../../runtime/testing/topology-test-driver.ts';
import type {
  CdcPublicContactsEnvelope,
  CdcPublicContactsValue,
  WebhookReceived,
} from '../../../schemas/types.ts';
import { identityPipeline } from '../topology.ts';
import {
  namesOf,
  normaliseDate,
  normaliseEmail,
  normalisePhone,
  normaliseText,
} from './normalise.ts';

const T0 = Date.UTC(2026, 0, 1);

describe('normalisation', () => {
  it('of e-mail: the domain in ASCII and lower case, tag and case of the local part kept', () => {
    expect(normaliseEmail(' Ada+News@Bücher.Example ')).toBe('Ada+News@xn--bcher-kva.example');
    expect(normaliseEmail('ada@EXAMPLE.com')).toBe('ada@example.com');
    for (const bad of [
      'ada',
      '@example.com',
      'ada@',
      'a b@example.com',
      'ada@exa mple.com',
      'ada@example',
    ])
      expect(normaliseEmail(bad)).toBeUndefined();
  });

  it('of phones: E.164, national numbers by the region', () => {
    expect(normalisePhone('(213) 373-4253', 'US')).toBe('+12133734253');
    expect(normalisePhone('+49 (0) 1511 2345678', undefined)).toBe('+4915112345678');
    expect(normalisePhone('0151 12345678', 'DE')).toBe('+4915112345678');
    expect(normalisePhone('(213) 373-4253', undefined)).toBeUndefined();
    expect(normalisePhone('+1 555', 'US')).toBeUndefined();
    expect(normalisePhone('12', 'DE')).toBeUndefined();
  });

  it('of names: NFC, spaces, case kept, split at the comma or before the last word', () => {
    expect(normaliseText('  Jose\u0301\u00a0 McDonald\u200b ')).toBe('José McDonald');
    expect(namesOf('Ada King Lovelace')).toEqual({
      full: 'Ada King Lovelace',
      given: 'Ada King',
      family: 'Lovelace',
    });
    expect(namesOf('Lovelace, Ada')).toMatchObject({ full: 'Ada Lovelace', family: 'Lovelace' });
    expect(namesOf('', 'Ada', '')).toEqual({ full: 'Ada', given: 'Ada', family: null });
    expect(namesOf(' ')).toBeUndefined();
  });

  it('of dates: those that there are', () => {
    expect(normaliseDate('18151210')).toBe('1815-12-10');
    expect(normaliseDate('2024-02-29')).toBe('2024-02-29');
    expect(normaliseDate('2023-02-29')).toBeUndefined();
    expect(normaliseDate('10.12.1815')).toBeUndefined();
  });
});

describe('sources', () => {
  let driver: TopologyTestDriver;
  beforeEach(async () => {
    driver = await TopologyTestDriver.open(identityPipeline, { startMs: T0 });
  });
  afterEach(() => driver.close());

  function webhook(payload: unknown, change: Partial<WebhookReceived> = {}): Promise<void> {
    return driver.pipe('webhook.received', 't:1', {
      event_id: 'hub:1',
      tenant_id: 't',
      source: 'hub',
      event_type: 'contact.updated',
      delivery_id: '1',
      entity_id: '1',
      occurred_at: T0 - 1_000,
      received_at: T0,
      payload: JSON.stringify(payload),
      ...change,
    });
  }

  function change(
    op: string,
    lsn: bigint,
    row: Partial<CdcPublicContactsValue>,
    before?: Partial<CdcPublicContactsValue>,
  ) {
    const whole = {
      id: 1,
      tenant_id: 't',
      full_name: 'Ada Lovelace',
      email: 'ada@example.com',
      phone: '+4915112345678',
      company_id: null,
      tags: ['b', null, 'a'],
      created_at: '2025-01-01T00:00:00Z',
      updated_at: '2025-12-01T00:00:00Z',
    };
    const source = { ts_ms: T0, snapshot: null, table: 'contacts', lsn, sequence: null };
    const envelope: CdcPublicContactsEnvelope = {
      op,
      before: op === 'd' || before !== undefined ? { ...whole, ...before } : null,
      after: op === 'd' ? null : { ...whole, ...row },
      source: { ...source, file: null, pos: null, row: null },
      ts_ms: T0,
    };
    return driver.pipe('cdc.public.contacts', '1', envelope);
  }

  const observed = () => driver.readValues('contact.observed');

  it('a webhook, a row of a file and a row of a table become one shape, and here one contact', async () => {
    const contact = { id: 'w1', first_name: 'Ada', last_name: 'Lovelace', zip: 12_345 };
    await webhook({ data: { ...contact, email: 'ada@example.com' } });
    await driver.pipe('file.row.received', 't:1', {
      import_id: 'i',
      source: 'file:crm',
      file: 'crm.csv',
      event_type: 'contact',
      received_at: T0,
      tenant_id: 't',
      row: 1,
      entity_id: '77',
      occurred_at: null,
      payload: JSON.stringify({
        name: 'Lovelace, Ada',
        email: 'ada@example.com',
        phone: '0151 12345678',
        country: 'de',
      }),
    });
    await change('c', 10n, {});
    expect(observed()).toMatchObject([
      {
        source: 'webhook:hub',
        source_id: 'w1',
        given_name: 'Ada',
        postcode: '12345',
        version: BigInt(T0 - 1_000),
      },
      {
        source: 'file:crm',
        source_id: '77',
        full_name: 'Ada Lovelace',
        phone: '+4915112345678',
        country: 'DE',
        version: BigInt(T0),
      },
      { source: 'cdc:contacts', source_id: '1', version: 10n, tags: ['a', 'b'] },
    ]);
    expect(driver.readValues('contact.unified').at(-1)?.members).toEqual([
      'cdc:contacts/1',
      'file:crm/77',
      'webhook:hub/w1',
    ]);
  });

  it('what is no contact is of no interest', async () => {
    await webhook({}, { event_type: 'push' });
    expect(observed()).toEqual([]);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('a record that is not valid is rejected with every reason, each with its kind', async () => {
    await webhook({
      email: 'nope',
      phone: '12',
      birth_date: '2030-01-01',
      country: 'Atlantis',
      company_domain: 'no domain',
      created_at: '2027-01-01T00:00:00Z',
      updated_at: '1999-01-01T00:00:00Z',
    });
    expect(observed()).toEqual([]);
    const [letter] = driver.deadLetters();
    expect(letter?.info).toMatchObject({ code: 'VALIDATION', step: 'judge', tenant: 't' });
    for (const reason of [
      'completeness: there is no name',
      'accuracy: email is no address',
      'accuracy: phone is no number',
      'consistency: birth_date is in the future',
      'accuracy: country is no ISO 3166-1 code',
      'accuracy: company_domain is no domain',
      'timeliness: created_at is in the future',
      'timeliness: updated_at is over 20 years ago',
    ]) {
      expect(letter?.info.message).toContain(reason);
    }
  });

  it.each([
    ['[1]', 'payload is no JSON object'],
    ['{', 'payload is no JSON object'],
    ['{"name":"Ada"}', 'there is no email, phone, birth_date or street'],
    ['{"name":"Ada","email":"ada@example.com","updated_at":"soon"}', 'updated_at is no time'],
  ])('%s is rejected', async (payload, reason) => {
    await webhook(null, { payload });
    expect(driver.deadLetters()[0]?.info.message).toContain(reason);
  });

  it('a deletion needs no name, and a row that changes tenants is deleted in the old one', async () => {
    await change('c', 10n, {});
    await change('u', 11n, { tenant_id: 'u' }, {});
    await change('d', 12n, {}, { tenant_id: 'u' });
    expect(observed().map((o) => [o?.tenant_id, o?.is_deleted])).toEqual([
      ['t', false],
      ['t', true],
      ['u', false],
      ['u', true],
    ]);
    expect(driver.readValues('contact.deleted').map((event) => event?.tenant_id)).toEqual([
      't',
      'u',
    ]);
  });

  it('quality grows with what is known and falls with age', async () => {
    await change('c', 10n, {});
    await change('u', 11n, { phone: null });
    await change('u', 12n, { updated_at: '2024-01-01T00:00:00Z', created_at: null });
    const [whole, less, old] = observed().map((contact) => contact?.quality ?? Number.NaN);
    expect(whole).toBeGreaterThan(less ?? Number.NaN);
    expect(whole).toBeGreaterThan(old ?? Number.NaN);
    expect(whole).toBeLessThanOrEqual(1);
  });
});
