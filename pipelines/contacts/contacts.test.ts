import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { CdcPublicContactsEnvelope, CdcPublicContactsValue } from '../../schemas/types.ts';
import { contactsPipeline } from './topology.ts';

const row: CdcPublicContactsValue = {
  id: 1,
  tenant_id: 't',
  full_name: 'Ada Lovelace',
  email: 'ada@example.com',
  phone: '+4915112345678',
  company_id: 7,
  tags: ['a', null, 'b'],
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-02T00:00:00Z',
};

function change(
  op: string,
  lsn: bigint,
  after: Partial<CdcPublicContactsValue> | null,
): CdcPublicContactsEnvelope {
  const source = {
    ts_ms: 1,
    snapshot: null,
    table: 'contacts',
    lsn,
    sequence: null,
    file: null,
    pos: null,
    row: null,
  };
  return {
    op,
    before: op === 'd' ? row : null,
    after: after === null ? null : { ...row, ...after },
    source,
    ts_ms: 1,
  };
}

const acme = (lsn: bigint, name = 'Acme') => ({ name, domain: 'acme.io', industry: null, lsn });

describe('the contacts pipeline', () => {
  let driver: TopologyTestDriver;
  beforeEach(async () => {
    driver = await TopologyTestDriver.open(contactsPipeline);
  });
  afterEach(() => driver.close());

  const golden = () => driver.readValues('contact.golden');
  const pipe = (value: CdcPublicContactsEnvelope) => driver.pipe('cdc.public.contacts', '1', value);
  const setCompany = (id: string, row: unknown) => driver.setTable('cdc.public.companies', id, row);

  it('emits a valid contact with its company', async () => {
    await setCompany('7', acme(5n));
    await pipe(change('c', 10n, {}));
    expect(golden()).toEqual([
      {
        id: '1',
        tenant_id: 't',
        full_name: 'Ada Lovelace',
        email: 'ada@example.com',
        phone: '+4915112345678',
        company_id: '7',
        company: 'Acme',
        company_domain: 'acme.io',
        industry: null,
        tags: ['a', 'b'],
        score: null,
        created_at: Date.UTC(2026, 0, 1),
        updated_at: Date.UTC(2026, 0, 2),
        version: 10n,
      },
    ]);
  });

  it('emits again when the company comes or changes, with a version that grows', async () => {
    await pipe(change('c', 10n, {}));
    await setCompany('7', acme(20n));
    await setCompany('7', acme(30n, 'Acme Ltd'));
    await setCompany('7', undefined);
    const emitted = golden();
    expect(emitted.map((c) => c?.company)).toEqual([null, 'Acme', 'Acme Ltd', null]);
    expect(emitted.map((c) => c?.version)).toEqual([10n, 20n, 30n, 31n]);
  });

  it('says nothing new for a company that did not change what a contact shows, or is not its own', async () => {
    await setCompany('7', acme(5n));
    await pipe(change('c', 10n, {}));
    golden();
    await setCompany('7', acme(50n));
    await setCompany('8', acme(60n, 'Other'));
    expect(golden()).toEqual([]);
  });

  it('outranks what it emitted before, when a change is read after a later change of the company', async () => {
    await setCompany('7', acme(100n));
    await pipe(change('c', 10n, {}));
    await pipe(change('u', 20n, { full_name: 'Ada L.' }));
    expect(golden().map((c) => c?.version)).toEqual([100n, 101n]);
  });

  it('follows a contact from one company to another', async () => {
    await setCompany('7', acme(1n));
    await setCompany('8', acme(2n, 'Other'));
    await pipe(change('c', 10n, {}));
    await pipe(change('u', 11n, { company_id: 8 }));
    golden();
    await setCompany('7', acme(12n, 'Acme Ltd'));
    expect(golden()).toEqual([]);
    await setCompany('8', acme(13n, 'Other Ltd'));
    expect(golden().map((c) => c?.company)).toEqual(['Other Ltd']);
  });

  it('deletes with a versioned tombstone, once, and a contact created again outranks it', async () => {
    await setCompany('7', acme(100n));
    await pipe(change('c', 10n, {}));
    await pipe(change('d', 20n, null));
    await driver.pipeTombstone('cdc.public.contacts', '1');
    const [, tombstone] = driver.read('contact.golden');
    expect(tombstone).toMatchObject({
      key: '1',
      value: null,
      headers: { 'reachflow.version': '101' },
    });
    await pipe(change('c', 30n, { company_id: null }));
    expect(golden().map((c) => c?.version)).toEqual([102n]);
  });

  it('drops a change that it has seen', async () => {
    await pipe(change('c', 10n, {}));
    await driver.crash();
    await pipe(change('c', 10n, {}));
    expect(golden()).toHaveLength(1);
    expect(driver.counters().steps.get('seen')?.dropped).toEqual(new Map([['duplicate', 1]]));
  });

  it('dead-letters an invalid row with every reason, and keeps the valid state before it', async () => {
    await pipe(change('c', 10n, {}));
    golden();
    await pipe(change('u', 11n, { email: 'nope', phone: '12', full_name: ' ', tenant_id: null }));
    const [letter] = driver.deadLetters();
    expect(letter?.info).toMatchObject({ code: 'VALIDATION', domain: 'user', step: 'validate' });
    for (const reason of ['email', 'phone', 'full_name', 'tenant_id']) {
      expect(letter?.info.message).toContain(reason);
    }
    await setCompany('7', acme(12n));
    expect(golden().map((c) => c?.email)).toEqual(['ada@example.com']);
  });

  it('lets a redriven change undo nothing that came after it', async () => {
    await pipe(change('u', 10n, { email: 'nope' }));
    const [letter] = driver.deadLetters();
    if (letter === undefined) throw new Error('no dead letter');
    await pipe(change('u', 20n, { full_name: 'Ada the newer' }));
    const value = change('u', 10n, {});
    await driver.redrive(letter, { topic: 'cdc.public.contacts', value });
    expect(golden().map((c) => c?.full_name)).toEqual(['Ada the newer']);
    expect(driver.counters().steps.get('enrich')?.dropped).toEqual(new Map([['superseded', 1]]));
  });

  it('takes a change that was under way while a snapshot read the row', async () => {
    await pipe(change('r', 20n, { full_name: 'Old' }));
    await pipe(change('u', 10n, { full_name: 'New' }));
    await pipe(change('r', 9n, { full_name: 'Older' }));
    expect(golden().map((contact) => contact?.full_name)).toEqual(['Old', 'New']);
  });

  it('takes a redriven change that nothing came after, though it has seen it', async () => {
    await pipe(change('u', 10n, { email: 'nope' }));
    const [letter] = driver.deadLetters();
    if (letter === undefined) throw new Error('no dead letter');
    const value = change('u', 10n, {});
    await driver.redrive(letter, { topic: 'cdc.public.contacts', value });
    expect(golden().map((c) => c?.version)).toEqual([10n]);
  });

  it('dead-letters a change without the unchanged large value', async () => {
    await pipe(change('u', 11n, { full_name: '__debezium_unavailable_value' }));
    expect(driver.deadLetters()[0]?.info.code).toBe('CDC_VALUE_UNAVAILABLE');
  });

  it('catches up after a restart with a company that changed meanwhile, and only then', async () => {
    await setCompany('7', acme(5n));
    await pipe(change('c', 10n, {}));
    golden();
    await driver.crash();
    expect(golden()).toEqual([]);
    // The change is there, but what came of it does not commit: the task that restarts is told of nothing.
    driver.crashAt('before-commit');
    await setCompany('7', acme(50n, 'Acme Ltd'));
    expect(driver.pendingCrashes).toEqual([]);
    expect(golden().map((c) => [c?.company, c?.version])).toEqual([['Acme Ltd', 50n]]);
  });
});
