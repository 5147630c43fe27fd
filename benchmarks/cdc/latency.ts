import { setTimeout as delay } from 'node:timers/promises';
import { followTopic } from '../../runtime/kafka/reader.ts';
import { type Lane, TOPIC } from './lane.ts';
import { type SourceTable, WRITERS } from './source-table.ts';

export interface Pace {
  readonly rowsPerSecond: number;
  readonly seconds: number;
}

/** Of one lane, ms. */
export interface Delays {
  /** Rows per second that were inserted. */
  readonly pace: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Each row came, once. */
  readonly exact: boolean;
}

/** Rows before those that count: connections, first batches. */
const LEAD_IN_S = 2;
const ARRIVAL_LIMIT_MS = 60_000;

/**
 * Inserts single rows at an even pace while the lane runs: from before each insert until a reader of committed records
 * has the row. Where the database cannot keep the pace, it is slower.
 */
export async function measureDelays(
  { arena, contestant }: Lane,
  table: SourceTable,
  { rowsPerSecond, seconds }: Pace,
): Promise<Delays> {
  const sentAt = new Map<number, number>();
  const arrived = new Map<number, number>();
  let repeated = 0;
  let pace = 0;
  const follower = await followTopic(arena.client, {
    topic: TOPIC,
    start: (_, { lastStable }) => lastStable,
    onRecord: ({ key }) => {
      const id = key === null ? Number.NaN : contestant.idOf(key);
      if (arrived.has(id)) repeated += 1;
      else arrived.set(id, performance.now());
    },
  });
  try {
    const began = performance.now();
    const count = rowsPerSecond * (LEAD_IN_S + seconds);
    let next = 0;
    const write = async () => {
      while (next < count) {
        const i = next;
        next += 1;
        const wait = began + (i * 1_000) / rowsPerSecond - performance.now();
        if (wait > 1) await delay(wait);
        const at = performance.now();
        const id = await table.insertOne();
        if (i >= rowsPerSecond * LEAD_IN_S) sentAt.set(id, at);
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, write));
    pace = (count * 1_000) / (performance.now() - began);
    const until = Date.now() + ARRIVAL_LIMIT_MS;
    const isMissing = () => [...sentAt.keys()].some((id) => !arrived.has(id));
    while (isMissing() && Date.now() < until) await delay(100);
  } finally {
    await follower.stop();
  }
  const took = [...sentAt].map(([id, at]) => (arrived.get(id) ?? Number.POSITIVE_INFINITY) - at);
  took.sort((a, b) => a - b);
  const at = (share: number) => took[Math.floor(share * (took.length - 1))] ?? Number.NaN;
  const exact = repeated === 0 && Number.isFinite(took.at(-1) ?? Number.NaN);
  return { pace, p50: at(0.5), p95: at(0.95), p99: at(0.99), exact };
}
