import type { PoolClient } from 'pg';
import { DELIVERED, type RecordResult, type SinkRecord } from '../../runtime/delivery/sink.ts';
import { writeIsolating } from '../isolate.ts';
import { classifyWrite, isOfStore } from './classify.ts';

/**
 * Finds the rows for whose sake the server refuses a statement, in a transaction that is rolled back: nothing is written.
 * Each half of a group that fails is tried after a savepoint, so that one among n costs about 2·log2(n) tries.
 * @param insert writes rows on the connection; throws what the server says.
 * @returns what to answer for each culprit; empty when none fails by itself (the fault has healed, or is in their sum).
 * @throws what the server or the connection says when it is the store's: the connection is then to be dropped.
 */
export async function findCulprits(
  client: PoolClient,
  rows: readonly SinkRecord[],
  insert: (client: PoolClient, rows: readonly SinkRecord[]) => Promise<void>,
): Promise<ReadonlyMap<SinkRecord, RecordResult>> {
  const tryGroup = async (group: readonly SinkRecord[]): Promise<RecordResult> => {
    await client.query('SAVEPOINT probe');
    try {
      await insert(client, group);
      await client.query('RELEASE probe');
      return DELIVERED;
    } catch (error) {
      if (isOfStore(error)) throw error;
      await client.query('ROLLBACK TO probe; RELEASE probe');
      return classifyWrite(error);
    }
  };
  await client.query('BEGIN');
  // A deferred constraint would speak at the commit only, which never comes.
  await client.query('SET CONSTRAINTS ALL IMMEDIATE');
  const middle = rows.length >> 1;
  const results = await writeIsolating([rows.slice(0, middle), rows.slice(middle)], tryGroup);
  await client.query('ROLLBACK');
  const culprits = new Map<SinkRecord, RecordResult>();
  rows.forEach((row, i) => {
    const result = results[i];
    if (result !== undefined && result.status !== 'delivered') culprits.set(row, result);
  });
  return culprits;
}
