import { randomUUID } from 'node:crypto';
import { ReachflowError } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import { literal } from './routes.ts';
import type { CaptureSource } from './source.ts';

/** What can be done to an incremental snapshot that is under way. */
export const snapshotActions = ['pause-snapshot', 'resume-snapshot', 'stop-snapshot'] as const;
export type SnapshotAction = (typeof snapshotActions)[number];

/** Debezium's data collections for captured tables: of shards all. @throws ReachflowError `CDC_TABLE_NOT_CAPTURED`. */
function collectionsOf(config: CaptureConfig, tables: readonly string[]): string[] {
  const unknown = tables.filter((table) => !config.tables.includes(table));
  if (unknown.length === 0) return tables.map((table) => config.shards[table] ?? literal(table));
  throw new ReachflowError(`${unknown.join(', ')}: not captured`, {
    code: 'CDC_TABLE_NOT_CAPTURED',
    domain: 'user',
    hint: `Captured are: ${config.tables.join(', ')}.`,
  });
}

/**
 * Asks for the rows of tables to be read again, in chunks, while changes go on being captured.
 * Source: Debezium 3 documentation, "Incremental snapshots".
 * @param where an SQL condition on the rows.
 * @returns the id that its notifications carry.
 * @throws ReachflowError `CDC_TABLE_NOT_CAPTURED`, and as `CaptureSource.signal`.
 */
export async function requestSnapshot(
  source: CaptureSource,
  config: CaptureConfig,
  tables: readonly string[],
  where?: string,
): Promise<string> {
  const collections = collectionsOf(config, tables);
  const conditions = collections.map((collection) => ({
    'data-collection': collection,
    filter: where,
  }));
  const id = randomUUID();
  const data = {
    type: 'INCREMENTAL',
    'data-collections': collections,
    ...(where === undefined ? {} : { 'additional-conditions': conditions }),
  };
  await source.signal(id, 'execute-snapshot', JSON.stringify(data));
  return id;
}

/**
 * Pauses, resumes or stops incremental snapshots. @param tables only these are stopped; all when there are none.
 * @returns the signal's id. @throws ReachflowError as `requestSnapshot`.
 */
export async function controlSnapshot(
  source: CaptureSource,
  config: CaptureConfig,
  action: SnapshotAction,
  tables: readonly string[] = [],
): Promise<string> {
  const collections = collectionsOf(config, tables);
  const id = randomUUID();
  const data = {
    type: 'INCREMENTAL',
    ...(collections.length === 0 ? {} : { 'data-collections': collections }),
  };
  await source.signal(id, action, JSON.stringify(data));
  return id;
}
