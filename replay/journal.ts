import { z } from 'zod';

/** By topic: the offset of each partition, as text. */
const offsets = z.record(z.string(), z.array(z.string()));

/** What one store exchanges: the identity of each place, before anything is swapped. */
const exchange = z.object({
  topic: z.string(),
  /** The name that readers and the live sink use. */
  live: z.string(),
  /** Where the replay's rows are. */
  shadow: z.string(),
  /** Of what is behind each name before the swap: an OID, a UUID, a name of indices. */
  liveId: z.string(),
  shadowId: z.string(),
});
export type Exchange = z.infer<typeof exchange>;

const replaySchema = z.object({
  name: z.string(),
  pipeline: z.string(),
  createdAt: z.number(),
  /** Of the checkout whose code it runs: the working tree, or a commit's. */
  code: z.object({ ref: z.string(), dir: z.string(), commit: z.string(), digest: z.string() }),
  /** Where its workers keep state and logs. */
  home: z.string(),
  from: offsets,
  /** Ends of the range when it was started: what progress is measured against. */
  until: offsets,
  /** Absent: it goes on with what comes. */
  to: offsets.optional(),
  /** Records a second, at most; 0 is no limit. */
  rate: z.number(),
  /** How far the live groups may fall behind because of it, records. */
  maxLiveLag: z.number(),
  workers: z.number(),
  /**
   * - `running`: its workers process and write its own tables;
   * - `paused`, `stopped`: they do not;
   * - `promoting`, `reverting`: a swap is under way;
   * - `promoted`: what it wrote is live;
   * - `cleaned`: nothing is left of the side that is not live.
   */
  state: z.enum(['running', 'paused', 'stopped', 'promoting', 'reverting', 'promoted', 'cleaned']),
  /** By store; written before the first of them is swapped. */
  exchanges: z.record(z.string(), z.array(exchange)).optional(),
  /** Whose groups have the positions of sinks in its topics: its own, or the live ones. */
  positions: z.enum(['live', 'shadow']).default('shadow'),
  /** The generation that was live before it; null is the first. */
  previous: z.string().nullable().optional(),
});
export type Replay = z.infer<typeof replaySchema>;
export type ReplayState = Replay['state'];
export type OffsetsByTopic = z.infer<typeof offsets>;

const pointerSchema = z.object({
  pipeline: z.string(),
  /** Null is the first generation. */
  generation: z.string().nullable(),
  /** While a replay is swapped: who writes what is swapped has to let go. */
  held: z.boolean(),
  /**
   * Digest of the code that this generation is made by: other code does not touch its state. Null: any code, once the replay
   * is cleaned.
   */
  code: z.string().nullable(),
});
export type Pointer = z.infer<typeof pointerSchema>;

const auditSchema = z.object({
  at: z.number(),
  replay: z.string(),
  pipeline: z.string(),
  action: z.string(),
  /** Who ran the command, as the system has it. */
  by: z.string(),
  /** Rows that differed, and were accepted. */
  differences: z.number().optional(),
});
export type Audit = z.infer<typeof auditSchema>;

type Parsed =
  | { readonly kind: 'replay'; readonly value: Replay }
  | { readonly kind: 'pointer'; readonly value: Pointer }
  | { readonly kind: 'audit'; readonly value: Audit };

const schemas = { replay: replaySchema, pointer: pointerSchema, audit: auditSchema };

/** A record of the control topic; undefined for what a later version may have written. */
export function parseEntry(key: string, value: Buffer | null): Parsed | undefined {
  const kind = key.slice(0, key.indexOf('/'));
  if (value === null || !(kind in schemas)) return undefined;
  const { success, data } = schemas[kind as Parsed['kind']].safeParse(JSON.parse(value.toString()));
  return success ? ({ kind, value: data } as Parsed) : undefined;
}
