import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import { ledgerPipeline } from './topology.ts';

const nowhere = { sequence: null, file: null, pos: null, row: null };
const source = (table: string, lsn: bigint) => ({
  ts_ms: 1,
  snapshot: null,
  table,
  ...nowhere,
  lsn,
});

describe('the ledger pipeline', () => {
  let driver: TopologyTestDriver;
  beforeEach(async () => {
    driver = await TopologyTestDriver.open(ledgerPipeline);
  });
  afterEach(() => driver.close());

  const account = (op: string, lsn: bigint, abalance: number) => ({
    op,
    before: op === 'd' ? { aid: 7, bid: 1, abalance } : null,
    after: op === 'd' ? null : { aid: 7, bid: 1, abalance },
    source: source('pgbench_accounts', lsn),
    ts_ms: 1,
  });

  it('carries balances under the row id and the version of the change, each change once', async () => {
    for (const change of [account('r', 5n, 0), account('u', 9n, 30), account('u', 9n, 30)])
      await driver.pipe('cdc.public.pgbench_accounts', '7', change);
    expect(driver.readValues('ledger.account')).toEqual([
      { id: '7', branch_id: '1', balance: 0, version: 5n },
      { id: '7', branch_id: '1', balance: 30, version: 9n },
    ]);
  });

  it('deletes with the version of the deletion', async () => {
    await driver.pipe('cdc.public.pgbench_accounts', '7', account('d', 11n, 30));
    const [record] = driver.read('ledger.account');
    expect(record?.value).toBeNull();
    expect(record?.headers['reachflow.version']?.toString()).toBe('11');
  });

  it('carries entries of the history, its time in ms', async () => {
    const row = { id: 3, tid: 2, bid: 1, aid: 7, delta: -40, mtime: 1_767_225_600_123_456 };
    await driver.pipe('cdc.public.pgbench_history', '3', {
      op: 'c',
      before: null,
      after: row,
      source: source('pgbench_history', 12n),
      ts_ms: 1,
    });
    expect(driver.readValues('ledger.entry')).toEqual([
      {
        id: '3',
        account_id: '7',
        teller_id: '2',
        branch_id: '1',
        delta: -40,
        posted_at: 1_767_225_600_123,
      },
    ]);
  });
});
