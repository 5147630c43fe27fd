import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { KafkaClient } from '../../../runtime/kafka/client.ts';
import { openBackend, stateDirectory, storesOf } from '../../../runtime/state/contract.ts';
import type { SubTopology } from '../../../runtime/topology/graph.ts';
import type { TopicCodec } from '../../../schemas/codec.ts';
import { expectedOf, type Outcome } from './expected.ts';
import {
  readDeadLetters,
  readEvents,
  readInput,
  readState,
  readWindows,
  type StateDump,
} from './observed.ts';
import { CLOSER, trialTopology } from './topology.ts';

/** Where the outcome of a trial is to be read. */
export interface Evidence {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly partitions: number;
  /** State directories of the workers, as they left them. */
  readonly stateDirs: readonly string[];
  /** Distinct events that the broker acknowledged. */
  readonly published: number;
}

/**
 * Counts: events each once and in the order of their partition's input, windows and sessions exact, late and
 * undecodable records in the DLQ, state as a fresh computation has it, in the changelog and on the disks.
 */
export async function expectExactlyOnce(evidence: Evidence): Promise<Outcome> {
  const { client, codec, partitions, published } = evidence;
  const expected = expectedOf(await readInput(client, codec, partitions));
  expect(expected.seen.length, 'acknowledged events are in the input').toBe(published);

  const events = await readEvents(client, codec, partitions);
  for (const [partition, ids] of events.entries()) {
    const due = expected.events[partition] ?? [];
    expect(differences(due, ids), `events of partition ${partition}`).toEqual(NONE);
  }
  expectWindows(expected.windows, await readWindows(client, codec, partitions));
  const { letters } = await readDeadLetters(client);
  expect(differences(expected.deadLetters, letters), 'dead letters').toEqual(NONE);
  await expectState(expected, evidence);
  return expected;
}

const NONE = { missing: [], extra: [], firstOutOfOrder: undefined };

/** In few words: of ten thousand ids nobody reads a diff. */
function differences(due: readonly string[], found: readonly string[]) {
  const counts = new Map<string, number>();
  for (const id of due) counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const id of found) counts.set(id, (counts.get(id) ?? 0) - 1);
  const missing = [...counts].filter(([, count]) => count > 0).map(([id]) => id);
  const extra = [...counts].filter(([, count]) => count < 0).map(([id]) => id);
  const same = missing.length === 0 && extra.length === 0;
  const at = same ? found.findIndex((id, i) => id !== due[i]) : -1;
  return {
    missing: shortened(missing),
    extra: shortened(extra),
    firstOutOfOrder: at < 0 ? undefined : `${found[at]} at ${at}, not ${due[at]}`,
  };
}

function shortened(ids: readonly string[]): readonly string[] {
  return ids.length <= 10 ? ids : [...ids.slice(0, 10), `… ${ids.length} in all`];
}

/** Updates of a window only grow, up to the exact count; what is emitted on close comes once. */
function expectWindows(
  expected: ReadonlyMap<string, number>,
  emitted: readonly { readonly window: string; readonly count: number }[],
): void {
  const last = new Map<string, number>();
  const wrong: string[] = [];
  for (const { window, count } of emitted) {
    const before = last.get(window) ?? 0;
    const twice = window.startsWith('tumbling/') ? count <= before : before > 0;
    if (twice) wrong.push(`${window}: ${count} after ${before}`);
    last.set(window, count);
  }
  expect(shortened(wrong), 'windows emitted again').toEqual([]);
  const lines = (counts: ReadonlyMap<string, number>) => [...counts].map(([w, n]) => `${w}: ${n}`);
  const found = differences(lines(expected).sort(), lines(last).sort());
  expect(found, 'window counts').toEqual(NONE);
}

async function expectState(expected: Outcome, evidence: Evidence): Promise<void> {
  const { client, partitions } = evidence;
  const arrivals: [string, unknown][] = [];
  const perKey: [string, unknown][] = [];
  const seen: string[] = [];
  const open: string[] = [];
  for (const sub of trialTopology().subTopologies.filter(({ stateful }) => stateful)) {
    for (let partition = 0; partition < partitions; partition += 1) {
      const { dump } = await readState(client, sub, partition);
      arrivals.push(...countsOf(dump, 'arrivals'));
      perKey.push(...countsOf(dump, 'per-key'));
      seen.push(...(dump.get('seen') ?? []).map(({ key }) => key));
      open.push(...['tumbling', 'sliding'].flatMap((store) => keysOf(dump, store)));
      await expectOnDisk(evidence, sub, partition, dump);
    }
  }
  expect(new Map(arrivals), 'records counted in the store').toEqual(expected.arrivals);
  expect(new Map(perKey), 'events counted in the store').toEqual(expected.perKey);
  expect(differences(expected.seen, seen.sort()), 'ids in the store').toEqual(NONE);
  expect(
    open.filter((key) => key !== CLOSER),
    'windows still open',
  ).toEqual([]);
}

function countsOf(dump: StateDump, store: string): [string, unknown][] {
  return (dump.get(store) ?? []).map(({ key, value }) => [key, value]);
}

function keysOf(dump: StateDump, store: string): string[] {
  return (dump.get(store) ?? []).map(({ key }) => key);
}

/** What workers left on their disks is no other state, and the last owner's needs no tail. */
async function expectOnDisk(
  { client, stateDirs }: Evidence,
  sub: SubTopology,
  partition: number,
  dump: StateDump,
): Promise<void> {
  const { namespace } = client.config;
  const identity = { namespace, pipeline: 'trial', subTopology: sub.name, partition };
  const specs = [...new Set(sub.nodes.flatMap(({ stores }) => stores))];
  const tails: number[] = [];
  for (const root of new Set(stateDirs)) {
    const dir = stateDirectory(root, identity);
    if (!existsSync(join(dir, 'data.mdb'))) continue;
    const backend = await openBackend({ kind: 'lmdb', dir, identity, stores: storesOf(specs) });
    const local = await readState(client, sub, partition, backend);
    expect(local.dump, `${sub.name}[${partition}] in ${root}`).toEqual(dump);
    tails.push(local.tail);
  }
  if (tails.length > 0)
    expect(Math.min(...tails), `tail of ${sub.name}[${partition}]'s last owner`).toBe(0);
}
