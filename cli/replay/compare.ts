import { diffTable, type TableDiff } from '../../replay/diff.ts';
import { requireReplay } from '../../replay/promote.ts';
import { openStores, sceneOf } from '../../replay/scene.ts';
import { settled } from '../../replay/settled.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { line, styled, table } from '../output.ts';
import { type ReplayContext, reading } from './context.ts';

/** How long the live generation and the replay may take to pass the same point, ms. */
const SETTLE_MS = 60_000;

/** @throws ReachflowError `REPLAY_BEHIND` when the two sides do not come to the same point. */
export async function compare(
  context: ReplayContext,
  name: string,
  { store, limit }: { readonly store?: string; readonly limit: number },
): Promise<TableDiff[]> {
  const state = await reading(context);
  const replay = requireReplay({ state }, name);
  const scene = sceneOf(context.home, state, replay);
  const isOpen = replay.to === undefined && replay.state === 'running';
  const settle = async () => {
    if (isOpen) await requireSettled(settled(scene, SETTLE_MS), name);
  };
  const stores = openStores(context.home, scene, replay, state);
  const diffs: TableDiff[] = [];
  try {
    await settle();
    for (const [one, { shadow, live, shadows }] of stores) {
      if (store !== undefined && store !== one) continue;
      for (const [i, model] of live.entries()) {
        const replayed = shadows[i];
        if (replayed === undefined) continue;
        diffs.push(await diffTable(shadow, model, replayed, { limit, settle }));
      }
    }
  } finally {
    await Promise.all([...stores.values()].map(({ shadow }) => shadow.close()));
  }
  return diffs;
}

async function requireSettled(passed: Promise<boolean>, name: string): Promise<void> {
  if (await passed) return;
  throw new ReachflowError('the replay and the live pipeline do not come to the same point', {
    code: 'REPLAY_BEHIND',
    domain: 'external',
    retry: 'backoff',
    hint: `Do both run, and is the replay at the end? reachflow replay status ${name}`,
  });
}

/** A comparison for people. */
export function showDiffs(diffs: readonly TableDiff[]): void {
  const rows = diffs.map((diff) => [
    ...[diff.store, diff.table, String(diff.rows), String(diff.same)],
    ...[diff.added, diff.removed, diff.changed, diff.moved].map(String),
  ]);
  line(table(['store', 'table', 'rows', 'same', 'added', 'removed', 'changed', 'moved'], rows));
  for (const diff of diffs) {
    if (diff.added + diff.removed + diff.changed === 0) continue;
    line();
    line(styled('bold', `${diff.store} ${diff.table}`));
    for (const [what, counts] of [
      ['fields', diff.byField],
      ['tenants', diff.byTenant],
      ['days', diff.byDay],
    ] as const) {
      const most = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
      if (most.length === 0) continue;
      const shown = most.slice(0, 8).map(([name, count]) => `${name || '(none)'} ${count}`);
      line(`  by ${what}: ${shown.join(', ')}`);
    }
    for (const { kind, key, fields, live, replayed } of diff.samples) {
      const changes = fields.map((name) => `${name}: ${live?.[name]} → ${replayed?.[name]}`);
      line(`  ${kind} ${key.join(' ')} ${changes.join(', ')}`);
    }
  }
}
