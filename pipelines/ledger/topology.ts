import { defineTopology } from '../../runtime/topology/builder.ts';
import { emitRow, readChange } from './steps/row-change.ts';

const DEDUP_TTL_MS = 24 * 3_600_000;
const MICROS_PER_MS = 1_000;

const text = (id: number | null) => String(id ?? '');

/**
 * pgbench's tables → the same rows in every store. Each transaction moves an account, a teller and a branch by one
 * amount and says so in the history: whoever loses, repeats or reorders a change breaks the sums.
 */
export const ledgerPipeline = defineTopology('ledger', (t) => {
  t.stream('cdc.public.pgbench_accounts', { name: 'accounts' })
    .step(
      'read-account',
      readChange(({ aid }) => aid),
    )
    .dedup('accounts-seen', { id: ({ changeId }) => changeId, ttlMs: DEDUP_TTL_MS })
    .process(
      'account',
      emitRow((row, { id, lsn: version }) => ({
        id,
        branch_id: text(row.bid),
        balance: row.abalance ?? 0,
        version,
      })),
    )
    .to('ledger.account');

  t.stream('cdc.public.pgbench_tellers', { name: 'tellers' })
    .step(
      'read-teller',
      readChange(({ tid }) => tid),
    )
    .dedup('tellers-seen', { id: ({ changeId }) => changeId, ttlMs: DEDUP_TTL_MS })
    .process(
      'teller',
      emitRow((row, { id, lsn: version }) => ({
        id,
        branch_id: text(row.bid),
        balance: row.tbalance ?? 0,
        version,
      })),
    )
    .to('ledger.teller');

  t.stream('cdc.public.pgbench_branches', { name: 'branches' })
    .step(
      'read-branch',
      readChange(({ bid }) => bid),
    )
    .dedup('branches-seen', { id: ({ changeId }) => changeId, ttlMs: DEDUP_TTL_MS })
    .process(
      'branch',
      emitRow((row, { id, lsn: version }) => ({ id, balance: row.bbalance ?? 0, version })),
    )
    .to('ledger.branch');

  t.stream('cdc.public.pgbench_history', { name: 'history' })
    .step(
      'read-entry',
      readChange(({ id }) => id),
    )
    .filter('posted', ({ row }) => row !== null)
    .dedup('entries-seen', { id: ({ changeId }) => changeId, ttlMs: DEDUP_TTL_MS })
    .map('entry', ({ id, row }) => ({
      id,
      account_id: text(row?.aid ?? null),
      teller_id: text(row?.tid ?? null),
      branch_id: text(row?.bid ?? null),
      delta: row?.delta ?? 0,
      posted_at: Math.floor((row?.mtime ?? 0) / MICROS_PER_MS),
    }))
    .to('ledger.entry', { key: ({ id }) => id });
});
