import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { Client } from '@elastic/elasticsearch';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TableDiff } from '../../replay/diff.ts';
import { testStack } from '../integration/stack.ts';
import { eventually } from '../support/kafka.ts';
import { nameOf, ReplayedContacts } from '../support/replayed-contacts.ts';

/** Of a swap, in order: `docs/adr/0021-replay.md` says what holds after a crash at each. */
const STEPS = [
  ...['journaled', 'released', 'positions'],
  ...['store postgres', 'store clickhouse', 'store elasticsearch'],
];
const COUNT = Number(process.env['REACHFLOW_TEST_REPLAY_RECORDS'] ?? 20_000);

type Names = ReadonlyMap<number, string>;

describe('a replay, on the real engines', () => {
  const contacts = new ReplayedContacts();
  const { postgres, clickhouse, elasticsearch } = testStack();
  const db = new pg.Pool({ connectionString: postgres.url, max: 1 });
  const house = createClient({
    ...{ url: clickhouse.url, username: clickhouse.username, password: clickhouse.password },
  });
  const elastic = new Client({ node: elasticsearch.url });
  let live: { end: () => Promise<void> };
  let written = 0;

  const insert = async (count: number) => {
    for (let from = written; from < written + count; from += 2_000) {
      await contacts.insert(from, Math.min(from + 2_000, written + count));
    }
    written += count;
  };

  const stores: Readonly<Record<string, () => Promise<Names>>> = {
    postgres: async () => {
      const sql = `SELECT id, full_name FROM "${contacts.namespace}".contacts`;
      const { rows } = await db.query<{ id: string; full_name: string }>(sql);
      return new Map(rows.map((row) => [Number(row.id), row.full_name]));
    },
    clickhouse: async () => {
      const query = `SELECT id, full_name FROM ${contacts.namespace}.contacts FINAL`;
      const found = await house.query({ query, format: 'JSONEachRow' });
      const rows = await found.json<{ id: string; full_name: string }>();
      return new Map(rows.map((row) => [Number(row.id), row.full_name]));
    },
    elasticsearch: async () => {
      const index = `${contacts.namespace}-contacts`;
      await elastic.indices.refresh({ index });
      const names = new Map<number, string>();
      let after: unknown[] | undefined;
      for (;;) {
        const { hits } = await elastic.search<{ id: string; full_name: string }>({
          ...{ index, size: 10_000, sort: [{ id: 'asc' }] },
          ...(after === undefined ? {} : { search_after: after as string[] }),
        });
        for (const { _source: row } of hits.hits) {
          if (row !== undefined) names.set(Number(row.id), row.full_name);
        }
        after = hits.hits.at(-1)?.sort;
        if (hits.hits.length < 10_000) return names;
      }
    },
  };

  /** Every store has each contact that was written, with the name that `nameFor` says. */
  const expectAll = async (nameFor: (id: number) => string) => {
    const expected = new Map(Array.from({ length: written }, (_, id) => [id, nameFor(id)]));
    for (const [store, read] of Object.entries(stores)) {
      let found: Names = new Map();
      const wrong = () => [...expected].filter(([id, name]) => found.get(id) !== name);
      await eventually(`${store} has all`, async () => {
        found = await read().catch(() => new Map());
        return found.size === written && wrong().length === 0;
      }).catch((error: unknown) => {
        throw new Error(`${store} has ${found.size} of ${written}, wrong: ${wrong().slice(0, 3)}`, {
          cause: error,
        });
      });
    }
  };
  /** Whoever was killed: a store shows the rows of one side, and not some of each. */
  const expectWhole = async () => {
    for (const [store, read] of Object.entries(stores)) {
      const names = [...(await read())].filter(([id]) => id % 10 === 7);
      const wrong = names.filter(([id, name]) => name !== nameOf(id)).length;
      expect([0, names.length], `wrong rows of ${store}, of ${names.length}`).toContain(wrong);
    }
  };
  const load = async () => {
    for (let i = 0; i < 20; i += 1) {
      await insert(25);
      await delay(200);
    }
  };
  const asWritten = (id: number) => nameOf(id);
  const asWronged = (id: number) => (id % 10 === 7 ? `wrong ${nameOf(id)}` : nameOf(id));

  beforeAll(async () => {
    await contacts.open();
    live = await contacts.run(contacts.buggy);
    await insert(COUNT);
    await expectAll(asWronged);
  });
  afterAll(async () => {
    await contacts.replay('stop', 'fix').catch(() => undefined);
    await contacts.close();
    await Promise.all([db.end(), house.close(), elastic.close()]);
  });

  it('finds the rows that a bug made, takes their place, and goes back', async () => {
    await contacts.replay('start', '--pipeline', 'contacts', '--into', 'fix');
    await expect(
      contacts.replay('start', '--pipeline', 'contacts', '--into', 'fix'),
    ).rejects.toThrow('REPLAY_EXISTS');
    await insert(500);
    await eventually('the replay is at the end', async () => {
      const text = await contacts.replay('status', 'fix', '--json');
      const { progress } = JSON.parse(text) as {
        progress: { behind: number; unwritten: number; done: number; total: number };
      };
      return progress.behind + progress.unwritten === 0 && progress.done === progress.total;
    });

    const diffs = JSON.parse(await contacts.replay('diff', 'fix', '--json')) as TableDiff[];
    const wrong = Math.floor((written + 2) / 10);
    expect(diffs.map(({ store }) => store)).toEqual(['postgres', 'clickhouse', 'elasticsearch']);
    for (const found of diffs) {
      expect(found).toMatchObject({ rows: written, added: 0, removed: 0, changed: wrong });
      expect(found.byField).toEqual({ full_name: wrong });
    }

    await expect(contacts.replay('promote', 'fix')).rejects.toThrow('REPLAY_DIFFERS');
    const accepted = ['--accept-diff', String(3 * wrong)];
    let loading = Promise.resolve();
    for (const step of STEPS) {
      await contacts.replayKilledAt(step, 'promote', 'fix', ...accepted);
      // With what was written at its beginning it is accepted: from here on there is load.
      if (step === 'journaled') loading = load();
      await expectWhole();
    }
    await contacts.replay('promote', 'fix');
    await loading;
    await expectAll(asWritten);

    loading = load();
    for (const step of STEPS.filter((_, i) => i % 2 === 1)) {
      await contacts.replayKilledAt(step, 'rollback', 'fix');
      await expectWhole();
    }
    await contacts.replay('rollback', 'fix');
    await loading;
    await expectAll(asWronged);
    await live.end();
  }, 600_000);
});
