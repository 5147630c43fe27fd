import { beforeEach, describe, expect, it } from 'vitest';
import type {
  CdcPublicContactsEnvelope,
  CdcPublicContactsValue,
  Contact,
} from '../../schemas/types.ts';
import { errorOf, ProcessorDriver } from '../../tests/support/processor-driver.ts';
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
  const source = { ts_ms: 1, snapshot: null, table: 'contacts', lsn };
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
  let driver: ProcessorDriver;
  beforeEach(() => {
    const [golden] = contactsPipeline.processors;
    if (golden === undefined) throw new Error('no processor');
    driver = new ProcessorDriver(golden);
  });
  const golden = () => driver.take().map(({ value }) => value as Contact | null);

  it('emits a valid contact with its company', () => {
    driver.changeTable('cdc.public.companies', '7', acme(5n));
    expect(driver.process(change('c', 10n, {}))).toEqual({ kind: 'ok' });
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

  it('emits again when the company comes or changes, with a version that grows', () => {
    driver.process(change('c', 10n, {}));
    driver.changeTable('cdc.public.companies', '7', acme(20n));
    driver.changeTable('cdc.public.companies', '7', acme(30n, 'Acme Ltd'));
    driver.changeTable('cdc.public.companies', '7', undefined);
    const emitted = golden();
    expect(emitted.map((c) => c?.company)).toEqual([null, 'Acme', 'Acme Ltd', null]);
    expect(emitted.map((c) => c?.version)).toEqual([10n, 20n, 30n, 31n]);
  });

  it('says nothing new for a company that did not change what a contact shows, or is not its own', () => {
    driver.changeTable('cdc.public.companies', '7', acme(5n));
    driver.process(change('c', 10n, {}));
    driver.take();
    driver.changeTable('cdc.public.companies', '7', acme(50n));
    driver.changeTable('cdc.public.companies', '8', acme(60n, 'Other'));
    expect(golden()).toEqual([]);
  });

  it('outranks what it emitted before, when a change is read after a later change of the company', () => {
    driver.changeTable('cdc.public.companies', '7', acme(100n));
    driver.process(change('c', 10n, {}));
    driver.process(change('u', 20n, { full_name: 'Ada L.' }));
    expect(golden().map((c) => c?.version)).toEqual([100n, 101n]);
  });

  it('follows a contact from one company to another', () => {
    driver.changeTable('cdc.public.companies', '7', acme(1n));
    driver.changeTable('cdc.public.companies', '8', acme(2n, 'Other'));
    driver.process(change('c', 10n, {}));
    driver.process(change('u', 11n, { company_id: 8 }));
    driver.take();
    driver.changeTable('cdc.public.companies', '7', acme(12n, 'Acme Ltd'));
    expect(golden()).toEqual([]);
    driver.changeTable('cdc.public.companies', '8', acme(13n, 'Other Ltd'));
    expect(golden().map((c) => c?.company)).toEqual(['Other Ltd']);
  });

  it('deletes with a versioned tombstone, once, and a contact created again outranks it', () => {
    driver.changeTable('cdc.public.companies', '7', acme(100n));
    driver.process(change('c', 10n, {}));
    expect(driver.process(change('d', 20n, null))).toEqual({ kind: 'ok' });
    expect(driver.process(null)).toMatchObject({ kind: 'drop' });
    const [, tombstone] = driver.take();
    expect(tombstone).toMatchObject({
      key: '1',
      value: null,
      headers: { 'reachflow.version': '101' },
    });
    driver.process(change('c', 30n, { company_id: null }));
    expect(golden().map((c) => c?.version)).toEqual([102n]);
  });

  it('drops a change that it has seen', () => {
    driver.process(change('c', 10n, {}));
    expect(driver.process(change('c', 10n, {}))).toEqual({ kind: 'drop', reason: 'duplicate' });
    expect(golden()).toHaveLength(1);
  });

  it('dead-letters an invalid row with every reason, and keeps the valid state before it', () => {
    driver.process(change('c', 10n, {}));
    driver.take();
    const error = errorOf(
      driver.process(
        change('u', 11n, { email: 'nope', phone: '12', full_name: ' ', tenant_id: null }),
      ),
    );
    expect(error).toMatchObject({ code: 'VALIDATION', domain: 'user' });
    for (const reason of ['email', 'phone', 'full_name', 'tenant_id']) {
      expect(error.message).toContain(reason);
    }
    driver.changeTable('cdc.public.companies', '7', acme(12n));
    expect(golden().map((c) => c?.email)).toEqual(['ada@example.com']);
  });

  it('dead-letters a change without the unchanged large value', () => {
    const outcome = driver.process(change('u', 11n, { full_name: '__debezium_unavailable_value' }));
    expect(errorOf(outcome).code).toBe('CDC_VALUE_UNAVAILABLE');
  });

  it('catches up after a restart with a company that changed meanwhile, and only then', () => {
    driver.changeTable('cdc.public.companies', '7', acme(5n));
    driver.process(change('c', 10n, {}));
    driver.commit();
    driver.take();
    driver.restart();
    expect(golden()).toEqual([]);
    driver.tables.get('cdc.public.companies')?.set('7', acme(50n, 'Acme Ltd'));
    driver.restart();
    expect(golden().map((c) => [c?.company, c?.version])).toEqual([['Acme Ltd', 50n]]);
  });
});
