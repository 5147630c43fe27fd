import { DLQ_AUDIT_TOPIC } from '../../schemas/topics.ts';
import { ensureTopics, topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { readTopic } from '../kafka/reader.ts';

export type Resolution = 'redriven' | 'dropped';

/** Letters of one partition of a DLQ that were dealt with, in one transaction with what was sent for them. */
export interface ResolvedBatch {
  readonly kind: 'resolved';
  /** Of the command that did it. */
  readonly run: string;
  readonly resolution: Resolution;
  /** Logical name. */
  readonly dlq: string;
  readonly partition: number;
  /** Offsets in the DLQ, both ends included, ascending. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
  /** ms since the epoch. */
  readonly at: number;
}

/** The audit of a command: who asked for what. */
export interface RunStarted {
  readonly kind: 'run';
  readonly run: string;
  readonly resolution: Resolution;
  /** Who ran it, `user@host`. */
  readonly actor: string;
  /** ms since the epoch. */
  readonly at: number;
  /** The filters as they were given. */
  readonly selection: Readonly<Record<string, unknown>>;
  /** Letters that it was going to deal with. */
  readonly letters: number;
  /** SHA-256 of the file that patched them, when one did. */
  readonly patchSha256?: string;
  /** Whether limits were overridden. */
  readonly force: boolean;
}

/** A run's last word. One that has none was interrupted; what it did is in its batches. */
export interface RunEnded {
  readonly kind: 'end';
  readonly run: string;
  readonly at: number;
  readonly letters: number;
}

export type AuditEntry = ResolvedBatch | RunStarted | RunEnded;

/** Creates the audit topic where it is missing. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function ensureAuditTopic(client: KafkaClient): Promise<void> {
  await ensureTopics(client, [
    {
      name: DLQ_AUDIT_TOPIC,
      partitions: 1,
      cleanup: 'delete',
      retentionMs: -1,
      maxMessageBytes: 1_048_576,
    },
  ]);
}

/** As a record's value. */
export function encodeEntry(entry: AuditEntry): Buffer {
  return Buffer.from(JSON.stringify(entry));
}

/**
 * Reads the audit from its beginning; nothing when there is none yet.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED`.
 */
export async function readAudit(
  client: KafkaClient,
  onEntry: (entry: AuditEntry) => void,
): Promise<void> {
  if (!(await topicPartitions(client)).has(DLQ_AUDIT_TOPIC)) return;
  await readTopic(client, {
    topic: DLQ_AUDIT_TOPIC,
    onRecord: ({ value }) => {
      if (value !== null) onEntry(JSON.parse(value.toString('utf8')) as AuditEntry);
    },
  });
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly at: number;
  readonly resolution: Resolution;
}

/** Which letters were dealt with. */
export class Resolutions {
  readonly #ranges = new Map<string, Range[]>();
  #sorted = true;

  /** @throws as `readAudit`. */
  static async read(client: KafkaClient): Promise<Resolutions> {
    const resolutions = new Resolutions();
    await readAudit(client, (entry) => {
      if (entry.kind === 'resolved') resolutions.add(entry);
    });
    return resolutions;
  }

  add({ dlq, partition, ranges, at, resolution }: ResolvedBatch): void {
    const name = `${dlq}/${partition}`;
    const known = this.#ranges.get(name) ?? [];
    for (const [from, to] of ranges) known.push({ from, to, at, resolution });
    this.#ranges.set(name, known);
    this.#sorted = false;
  }

  /**
   * What was done with a letter; undefined when nothing.
   * @param lastFailure ms since the epoch. A DLQ that was made anew has other letters at the offsets of before: what
   *   failed after the resolution is not what was resolved.
   */
  of(dlq: string, partition: number, offset: bigint, lastFailure: number): Resolution | undefined {
    if (!this.#sorted) this.#sort();
    const ranges = this.#ranges.get(`${dlq}/${partition}`);
    if (ranges === undefined) return undefined;
    const range = lastBefore(ranges, Number(offset));
    const covers = range !== undefined && Number(offset) <= range.to && lastFailure <= range.at;
    return covers ? range.resolution : undefined;
  }

  #sort(): void {
    for (const ranges of this.#ranges.values())
      ranges.sort((a, b) => a.from - b.from || a.at - b.at);
    this.#sorted = true;
  }
}

/** The last range that begins at an offset or before it. */
function lastBefore(ranges: readonly Range[], offset: number): Range | undefined {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.from ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return ranges[low - 1];
}

/** Ascending offsets as ranges; of a few thousand, so that the record that they are written in is small. */
export function toRanges(offsets: readonly bigint[]): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  for (const offset of offsets.map(Number).toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === offset - 1) last[1] = offset;
    else ranges.push([offset, offset]);
  }
  return ranges;
}
