import { z } from 'zod';
import { ReachflowError } from '../runtime/errors.ts';
import { Frontier, type FrontierState } from './merkle/frontier.ts';
import { fromHex, type Hash, toHex } from './merkle/hash.ts';

/** A partition's tree, as it was when somebody recorded it. */
export interface Head {
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  /** The brokers' id of the topic: another topic of the same name has another one. Undefined before Kafka 2.8. */
  readonly topicId: string | undefined;
  /** Where the tree begins: its first leaf is the first committed record at this offset or behind it. */
  readonly origin: bigint;
  /** The tree has every committed record from `origin` to before this offset. */
  readonly nextOffset: bigint;
  readonly root: Hash;
  /** From which the tree goes on. */
  readonly frontier: FrontierState;
  /** ms since the epoch. */
  readonly recordedAt: number;
  readonly by: 'verify' | 'archive';
}

/** Text of an offset: JSON has no 64-bit numbers. */
export const offsetText = z.string().regex(/^\d{1,19}$/);
export const hexHash = z.string().regex(/^[0-9a-f]{64}$/);

const headJson = z.strictObject({
  format: z.literal('reachflow-head-1'),
  topic: z.string(),
  partition: z.int().min(0),
  topicId: z.string().nullable(),
  origin: offsetText,
  nextOffset: offsetText,
  size: z.int().min(0),
  root: hexHash,
  frontier: z.array(hexHash).max(53),
  recordedAt: z.number(),
  by: z.enum(['verify', 'archive']),
});

export type HeadJson = z.infer<typeof headJson>;

/** As JSON. */
export function headToJson(head: Head): HeadJson {
  const { topic, partition, origin, nextOffset, root, frontier, recordedAt, by } = head;
  return {
    format: 'reachflow-head-1',
    ...{ topic, partition, recordedAt, by },
    topicId: head.topicId ?? null,
    origin: String(origin),
    nextOffset: String(nextOffset),
    size: frontier.size,
    root: toHex(root),
    frontier: frontier.nodes.map(toHex),
  };
}

/** Reads what `headToJson` made. @throws ReachflowError `HISTORY_HEAD_INVALID`. */
export function headFromJson(json: unknown): Head {
  const parsed = headJson.safeParse(json);
  if (!parsed.success) throw invalidHead(z.prettifyError(parsed.error));
  const {
    size,
    root,
    frontier,
    origin,
    nextOffset,
    topicId,
    format: _format,
    ...same
  } = parsed.data;
  return {
    ...same,
    topicId: topicId ?? undefined,
    origin: BigInt(origin),
    nextOffset: BigInt(nextOffset),
    root: fromHex(root) ?? '',
    frontier: { size, nodes: frontier.map((hex) => fromHex(hex) ?? '') },
  };
}

/** Whether a head's frontier leads to its root: one of which only a part was altered does not. */
export function isSound({ frontier, root }: Head): boolean {
  try {
    return new Frontier(frontier).root() === root;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function invalidHead(why: string): ReachflowError {
  return new ReachflowError(`a recorded head is none: ${why}`, {
    code: 'HISTORY_HEAD_INVALID',
    domain: 'external',
    hint: 'Somebody else wrote it, or a newer version of Reachflow did.',
  });
}
