/** How far a partition was when it was last fetched, by whomever in this process. */
export interface FetchedEnd {
  /** Next offset on the broker, undecided transactions included. */
  readonly highWatermark: bigint;
  /** When the broker said so, ms since the epoch. */
  readonly at: number;
}

/** As many partitions as one process may come to read. */
const MAX_PARTITIONS = 20_000;

const ends = new Map<string, FetchedEnd>();

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/**
 * Notes what a fetch response said. KafkaJS tells nobody of a fetch that found nothing, so this is the only way to know
 * that a partition is still read to its end, rather than not fetched at all.
 * @param topic on the broker.
 */
export function noteFetched(topic: string, partition: number, highWatermark: bigint): void {
  const key = keyOf(topic, partition);
  if (ends.size >= MAX_PARTITIONS && !ends.has(key)) ends.clear();
  ends.set(key, { highWatermark, at: Date.now() });
}

/** What the last fetch of a partition said; undefined when there was none. @param topic on the broker. */
export function lastFetched(topic: string, partition: number): FetchedEnd | undefined {
  return ends.get(keyOf(topic, partition));
}
