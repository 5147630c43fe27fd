import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReachflowError } from '../../runtime/errors.ts';
import { isTableThere } from './classify.ts';
import { type Rollup, rollupTableSql } from './rollups.ts';
import type { ClickhouseSession } from './session.ts';
import { literal, qualified } from './tables.ts';

/**
 * Makes roll-ups, also of a table that has rows and is being written.
 *
 * A roll-up is a table, a materialized view that feeds it, and a view of the table under the roll-up's own name. The
 * feed is named by a hash of the definition and of the table it reads: a definition that changed is another feed, made
 * beside the old one. Readers see the new one once it is complete, by the replacement of one view; the old is dropped then.
 * Creating the feed is what only one of several processes can do.
 */

/** How often a feed is made anew when rows came just then. */
const MAX_ATTEMPTS = 200;
const PAUSE_MS = 100;
/** How long inserts may take that began before the feed was there. */
const INSERTS_LIMIT_MS = 60_000;
/** How long the rows that are there may take to be summed up, ms: some hundred million. */
export const BUILD_TIMEOUT_MS = 600_000;
/** How long to wait for another process that is making the roll-up. */
const BUILD_LIMIT_MS = 900_000;
/** A build that does not query, and that began longer ago, was given up with its process, s. */
const ABANDONED_SECONDS = 120;

/** Many months at once, and a connection that says something meanwhile. */
const BUILD_SETTINGS = {
  max_partitions_per_insert_block: '0',
  send_progress_in_http_headers: '1',
  http_headers_progress_interval_ms: '30000',
} as const;

const BUILDING = 'is being made';

/** A roll-up and where it is. */
interface Place {
  readonly rollup: Rollup;
  readonly database: string;
  /** The table that it sums up: name alone, and qualified. */
  readonly base: string;
  readonly from: string;
  /** The materialized view; its name is unique to the definition. */
  readonly feed: string;
}

interface Found {
  readonly target: string;
  readonly isReady: boolean;
  readonly isAbandoned: boolean;
}

type Cut = ReadonlyMap<number, bigint>;

function buildId({ database, feed }: Place): string {
  return `reachflow-build-${database}-${feed}`;
}

async function placeOf(
  session: ClickhouseSession,
  database: string,
  base: string,
  rollup: Rollup,
): Promise<Place> {
  const [table] = await session.rows<{ uuid: string }>(
    'SELECT toString(uuid) AS uuid FROM system.tables WHERE database = {database: String} AND name = {base: String}',
    { database, base },
  );
  const from = qualified(database, base);
  // A table that took the place of another, as after a replay, is summed up anew.
  const definition = [
    rollupTableSql('', rollup, rollup.comment),
    rollup.select({ from, and: '' }),
    table?.uuid,
  ];
  const hash = createHash('sha256').update(JSON.stringify(definition)).digest('hex').slice(0, 12);
  return { rollup, database, base, from, feed: `${rollup.name}__${hash}_feed` };
}

async function find(session: ClickhouseSession, place: Place): Promise<Found | undefined> {
  const { database, feed } = place;
  const query = `SELECT target_table AS target, comment,
      dateDiff('second', metadata_modification_time, now()) AS age
    FROM system.tables WHERE database = {database: String} AND name = {name: String}`;
  type Row = { readonly target: string; readonly comment: string; readonly age: number };
  const [fed] = await session.rows<Row>(query, { database, name: feed });
  if (fed === undefined) return undefined;
  const { target } = fed;
  const [table] = await session.rows<Row>(query, { database, name: target });
  // Somebody dropped it.
  if (table === undefined) return { target: '', isReady: false, isAbandoned: true };
  const isReady = table.comment !== BUILDING;
  if (isReady) return { target, isReady, isAbandoned: false };
  const running = await session.rows(
    'SELECT 1 FROM system.processes WHERE query_id = {id: String}',
    {
      id: buildId(place),
    },
  );
  return { target, isReady, isAbandoned: running.length === 0 && table.age > ABANDONED_SECONDS };
}

/** The last offset of each partition that is in the table. */
async function cutOf(session: ClickhouseSession, from: string): Promise<Cut> {
  const rows = await session.rows<{ partition: number; last: string }>(
    `SELECT _topic_partition AS partition, toString(max(_offset)) AS last FROM ${from} GROUP BY partition`,
    {},
  );
  return new Map(rows.map(({ partition, last }) => [partition, BigInt(last)]));
}

function isSame(a: Cut, b: Cut): boolean {
  return a.size === b.size && [...a].every(([partition, last]) => b.get(partition) === last);
}

/** Waits for inserts that are under way: they may have begun before the feed was there. */
async function awaitInserts(session: ClickhouseSession, { base, database }: Place): Promise<void> {
  const query = `SELECT query_id FROM system.processes
    WHERE query_kind = 'Insert' AND position(query, {base: String}) > 0
      AND (current_database = {database: String} OR position(query, {database: String}) > 0)`;
  const running = async () =>
    (await session.rows<{ query_id: string }>(query, { base, database })).map(
      ({ query_id }) => query_id,
    );
  let waiting = await running();
  const deadline = Date.now() + INSERTS_LIMIT_MS;
  while (waiting.length > 0 && Date.now() < deadline) {
    await sleep(PAUSE_MS);
    const still = new Set(await running());
    waiting = waiting.filter((id) => still.has(id));
  }
}

async function drop(session: ClickhouseSession, database: string, ...names: string[]) {
  for (const name of names) {
    if (name !== '')
      await session.command(`DROP TABLE IF EXISTS ${qualified(database, name)} SYNC`);
  }
}

/** Drops a feed, and its table once no insert writes through it any more: one that began may hold it. */
async function dropFeed(session: ClickhouseSession, place: Place, feed: string, target: string) {
  await drop(session, place.database, feed);
  await awaitInserts(session, place);
  await drop(session, place.database, target);
}

/**
 * Rows up to the cut, or beyond it. A feed only takes those beyond: a batch that was written before it was there may
 * come again, after a crash, and is dropped in its table, but not in a view that never saw it.
 */
function sideOf(cut: Cut, side: 'up to' | 'beyond'): string {
  if (cut.size === 0) return '';
  const partitions = [...cut.keys()].join(', ');
  const lasts = [...cut.values()].map((last) => `toInt64(${last})`).join(', ');
  const last = `transform(_topic_partition, [${partitions}], [${lasts}], toInt64(-1))`;
  return ` AND toInt64(_offset) ${side === 'beyond' ? '>' : '<='} ${last}`;
}

/**
 * One attempt at a feed: rows that were there before are added behind it. False when rows came while the feed was made,
 * so that nobody can say whether it saw them, or when another process was first.
 */
async function attempt(session: ClickhouseSession, place: Place): Promise<boolean> {
  const { rollup, database, from, feed } = place;
  const target = `${feed.replace(/_feed$/, '')}_${randomBytes(4).toString('hex')}`;
  const into = qualified(database, target);
  const cut = await cutOf(session, from);
  await session.command(rollupTableSql(into, rollup, BUILDING));
  try {
    await session.command(
      `CREATE MATERIALIZED VIEW ${qualified(database, feed)} TO ${into} AS ${rollup.select({ from, and: sideOf(cut, 'beyond') })}`,
    );
  } catch (error) {
    await drop(session, database, target);
    if (isTableThere(error)) return false;
    throw error;
  }
  await awaitInserts(session, place);
  if (!isSame(cut, await cutOf(session, from))) {
    await dropFeed(session, place, feed, target);
    return false;
  }
  if (cut.size > 0) {
    // FINAL: a repeated delivery that is not merged away yet counts once.
    const select = rollup.select({ from: `${from} FINAL`, and: sideOf(cut, 'up to') });
    await session.command(`INSERT INTO ${into} ${select}`, {
      queryId: buildId(place),
      settings: BUILD_SETTINGS,
    });
  }
  await session.command(`ALTER TABLE ${into} MODIFY COMMENT ${literal(rollup.comment)}`);
  return true;
}

/** Lets readers see the roll-up's newest table, and drops those of other definitions. */
async function publish(session: ClickhouseSession, place: Place, target: string): Promise<void> {
  const { rollup, database, feed } = place;
  const all = await session.rows<{ name: string; engine: string; target: string; as: string }>(
    `SELECT name, engine, target_table AS target, as_select AS as FROM system.tables
     WHERE database = {database: String} AND (name = {name: String} OR startsWith(name, {prefix: String}))`,
    { database, name: rollup.name, prefix: `${rollup.name}__` },
  );
  const view = all.find(({ name }) => name === rollup.name);
  if (view === undefined || !view.as.includes(target)) {
    await session.command(
      `CREATE OR REPLACE VIEW ${qualified(database, rollup.name)} AS SELECT * FROM ${qualified(database, target)} COMMENT ${literal(rollup.comment)}`,
    );
  }
  const old = all.filter(({ name, engine }) => engine === 'MaterializedView' && name !== feed);
  for (const other of old) await dropFeed(session, place, other.name, other.target);
}

async function ensure(session: ClickhouseSession, place: Place): Promise<void> {
  const deadline = Date.now() + BUILD_LIMIT_MS;
  for (let attempts = 0; attempts < MAX_ATTEMPTS && Date.now() < deadline; ) {
    const found = await find(session, place);
    if (found?.isReady === true) return publish(session, place, found.target);
    if (found?.isAbandoned === true) await drop(session, place.database, place.feed, found.target);
    if (found === undefined || found.isAbandoned) {
      attempts += 1;
      if (await attempt(session, place)) continue;
    }
    await sleep(PAUSE_MS * (1 + Math.random()));
  }
  throw new ReachflowError(
    `the roll-up ${place.rollup.name} could not be made: rows came to ${place.base} all the time`,
    {
      code: 'CLICKHOUSE_ROLLUP_BUSY',
      domain: 'external',
      retry: 'backoff',
      hint: 'Stop the other processes that write to ClickHouse until this one has started.',
    },
  );
}

/**
 * Makes the roll-ups of a table that are not there, or not as they are defined now, with all rows that the table has.
 * Those that are there cost two queries. Readers of a roll-up see the old one until the new one is complete.
 * @param base the table's name, in the database.
 * @throws ReachflowError `CLICKHOUSE_ROLLUP_BUSY`; ClickHouseError when the server refuses a statement.
 */
export async function ensureRollups(
  session: ClickhouseSession,
  database: string,
  base: string,
  rollups: readonly Rollup[],
): Promise<void> {
  for (const rollup of rollups) {
    await ensure(session, await placeOf(session, database, base, rollup));
  }
}
