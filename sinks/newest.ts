import type { RecordResult } from '../runtime/delivery/sink.ts';

/** What a row is ordered by: of one key, the newest version is the one to keep. */
export interface Versioned {
  readonly key: string;
  readonly version: bigint;
}

/**
 * For stores that cannot take one key twice in a request: writes only each key's newest version and gives the
 * superseded ones its result (they are as durable as they will ever be). When the newest is rejected, the next
 * one takes its place in another round: a poison update must not take a good earlier one with it.
 * Of equal versions the first wins, as in a store that already has it. Rounds are bounded by the most versions
 * that one key has in the batch.
 * @param write writes rows of distinct keys; one result per row, same order.
 * @returns one result per row, same order.
 */
export async function writeNewest<T extends Versioned>(
  rows: readonly T[],
  write: (rows: readonly T[]) => Promise<readonly RecordResult[]>,
): Promise<readonly RecordResult[]> {
  const results = new Array<RecordResult>(rows.length);
  let waiting = versionsByKey(rows);
  while (waiting.length > 0) {
    const heads = waiting.flatMap((versions) => versions.slice(0, 1));
    const answers = await write(heads.map((head) => head.row));
    const next: Indexed<T>[][] = [];
    waiting.forEach((versions, i) => {
      const answer = answers[i];
      if (answer === undefined) throw new Error('a store answered for fewer rows than it got');
      const settled = answer.status === 'rejected' ? versions.slice(0, 1) : versions;
      for (const { index } of settled) results[index] = answer;
      if (settled.length < versions.length) next.push(versions.slice(1));
    });
    waiting = next;
  }
  return results;
}

interface Indexed<T> {
  readonly row: T;
  readonly index: number;
}

/** Each key's rows, newest version first; sorting is stable, so of equal versions the first stays first. */
function versionsByKey<T extends Versioned>(rows: readonly T[]): Indexed<T>[][] {
  const byKey = new Map<string, Indexed<T>[]>();
  rows.forEach((row, index) => {
    const versions = byKey.get(row.key);
    if (versions === undefined) byKey.set(row.key, [{ row, index }]);
    else versions.push({ row, index });
  });
  const groups = [...byKey.values()];
  for (const versions of groups) {
    if (versions.length < 2) continue;
    versions.sort(
      (a, b) => Number(b.row.version > a.row.version) - Number(b.row.version < a.row.version),
    );
  }
  return groups;
}
