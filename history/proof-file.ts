import { z } from 'zod';
import { ReachflowError } from '../runtime/errors.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { readPartitionLazily } from '../runtime/kafka/partition-reader.ts';
import { type Head, headFromJson, headToJson, isSound } from './head.ts';
import { LeafHasher } from './leaf.ts';
import type { FrontierState } from './merkle/frontier.ts';
import { fromHex, leafHash, toHex } from './merkle/hash.ts';
import { verifyInclusion } from './merkle/proof.ts';
import { inclusionRanges, Prover } from './merkle/prover.ts';
import { longestTree } from './verify/anchor.ts';

const proofJson = z.strictObject({
  format: z.literal('reachflow-proof-1'),
  offset: z.string().regex(/^\d{1,19}$/),
  /** What the leaf is the SHA-256 of, base64: 0x00, offset, timestamp, then key, value and headers as Kafka has them. */
  leaf: z.base64(),
  index: z.int().min(0),
  path: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(64),
  /** As it was recorded; `headFromJson` checks it. */
  head: z.unknown(),
});

/** That a record is in a recorded history: to be kept in a file, and checked without any of our systems. */
export type InclusionProof = z.infer<typeof proofJson>;

export interface ProveOptions {
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** First offset that is there. */
  readonly low: bigint;
  /** Recorded heads of the partition, of this topic, ascending. */
  readonly heads: readonly Head[];
}

/**
 * Proves that a record is in the tree of the first head behind it: reads from the last head before it to that one.
 * @throws ReachflowError `PROOF_NO_HEAD` when no head was recorded behind the record, `RECORD_NOT_FOUND`,
 *   `PROOF_FAILED` when the records do not lead to the head, and as `readPartition`.
 */
export async function proveInclusion(
  client: KafkaClient,
  { topic, partition, offset, low, heads }: ProveOptions,
): Promise<InclusionProof> {
  const place = `${topic}[${partition}]@${offset}`;
  const tree = longestTree(heads);
  const head = tree.find(({ nextOffset }) => nextOffset > offset);
  const before = tree.findLast(({ nextOffset }) => nextOffset <= offset);
  const start = before?.frontier ?? EMPTY;
  const from = before?.nextOffset ?? head?.origin ?? 0n;
  if (head === undefined || from < low) throw noHead(place, head !== undefined);
  const hasher = new LeafHasher();
  // Where the record is among the leaves is known when it has come: the first pass counts.
  const found = await locate(client, { topic, partition, from, to: head.nextOffset, offset });
  if (found === undefined) throw notFound(place);
  const index = start.size + found.before;
  const prover = new Prover(inclusionRanges(index, head.frontier.size), start);
  await readPartitionLazily(client, {
    ...{ topic, partition, from, to: head.nextOffset },
    onRecords: (records) => {
      for (const record of records) prover.append(hasher.hash(record));
    },
  });
  const proof: InclusionProof = {
    format: 'reachflow-proof-1',
    offset: String(offset),
    leaf: found.leaf.toString('base64'),
    index,
    path: pathOf(prover, place).map(toHex),
    head: headToJson(head),
  };
  const checked = checkProof(proof);
  if (!checked.holds) throw failed(place, checked.why);
  return proof;
}

const EMPTY: FrontierState = { size: 0, nodes: [] };

interface Sought {
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly offset: bigint;
}

async function locate(
  client: KafkaClient,
  { offset, ...stretch }: Sought,
): Promise<{ readonly before: number; readonly leaf: Buffer } | undefined> {
  const hasher = new LeafHasher();
  let before = 0;
  let leaf: Buffer | undefined;
  await readPartitionLazily(client, {
    ...stretch,
    to: offset + 1n,
    onRecords: (records) => {
      const last = records.at(-1);
      if (last?.offset === offset) leaf = hasher.bytes(last);
      before += records.length;
    },
  });
  return leaf === undefined ? undefined : { before: before - 1, leaf };
}

function pathOf(prover: Prover, place: string) {
  try {
    return prover.path();
  } catch (error) {
    if (error instanceof RangeError) throw failed(place, error.message);
    throw error;
  }
}

/** What the check of a proof found. */
export interface CheckedProof {
  readonly holds: boolean;
  /** For people: what it proves, or why it does not. */
  readonly why: string;
  readonly head: Head;
  readonly offset: bigint;
}

/** Reads a proof. @throws ReachflowError `PROOF_INVALID`, `HISTORY_HEAD_INVALID`. */
export function parseProof(json: unknown): InclusionProof {
  const parsed = proofJson.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ReachflowError(`this is no proof: ${z.prettifyError(parsed.error)}`, {
    code: 'PROOF_INVALID',
    domain: 'user',
    hint: 'It takes the JSON that `reachflow verify TOPIC --proof` printed.',
  });
}

/**
 * Checks a proof by itself. @param root of the head, in hex, as it is known from elsewhere: without it the proof shows that
 * the record is in the tree that it names, and trusts that this tree was recorded.
 * @throws ReachflowError `HISTORY_HEAD_INVALID`.
 */
export function checkProof(proof: InclusionProof, root?: string): CheckedProof {
  const head = headFromJson(proof.head);
  const offset = BigInt(proof.offset);
  const leaf = Buffer.from(proof.leaf, 'base64');
  const path = proof.path.map((hex) => fromHex(hex) ?? '');
  const { size } = head.frontier;
  const because = (why: string): CheckedProof => ({ holds: false, why, head, offset });
  if (leaf.length < 17 || leaf[0] !== 0) return because('its leaf is no record');
  if (leaf.readBigInt64BE(1) !== offset) return because('its record has another offset');
  if (!isSound(head)) return because('the frontier of its head does not lead to the root');
  if (root !== undefined && root !== toHex(head.root)) return because('its root is another one');
  if (!verifyInclusion(leafHash(leaf), { index: proof.index, size, path }, head.root))
    return because('its path does not lead from the record to the root');
  const why = `record ${proof.index} of the ${size} that the head has`;
  return { holds: true, why, head, offset };
}

function noHead(place: string, isExpired: boolean): ReachflowError {
  const message = isExpired
    ? `${place} cannot be proven: what the proof starts from is not in the topic any more`
    : `${place} cannot be proven: no head was recorded behind it`;
  return new ReachflowError(message, {
    code: 'PROOF_NO_HEAD',
    domain: 'user',
    hint: isExpired
      ? 'Archive the topic: proofs can be made from what the archive has.'
      : 'Record one: `reachflow verify TOPIC --record`.',
  });
}

function notFound(place: string): ReachflowError {
  return new ReachflowError(`there is no committed record ${place}`, {
    code: 'RECORD_NOT_FOUND',
    domain: 'user',
    hint: 'An offset may be that of a transaction marker, or of a record that was aborted or compacted away.',
  });
}

function failed(place: string, why: string): ReachflowError {
  return new ReachflowError(`${place} cannot be proven: ${why}`, {
    code: 'PROOF_FAILED',
    domain: 'external',
    hint: 'The records around it are not those that were recorded: `reachflow verify TOPIC` says which.',
  });
}
