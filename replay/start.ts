import { mkdirSync } from 'node:fs';
import { ReachflowError } from '../runtime/errors.ts';
import { ensureTopics, topicPartitions } from '../runtime/kafka/admin.ts';
import { GroupOffsets } from '../runtime/kafka/group-offsets.ts';
import { planTopics } from '../runtime/topic-plan.ts';
import { isTopicName, retryOf, type TopicName } from '../schemas/topics.ts';
import type { Checkout } from './checkout.ts';
import type { ControlWriter } from './control.ts';
import type { Replay } from './journal.ts';
import { groupsOf, inputTopicsOf } from './ownership.ts';
import { type Edge, journaled, offsetsOf } from './range.ts';
import { openStores, pipelineNamed, type ReplayHome, type Scene, sceneOf } from './scene.ts';

/** What `reachflow replay start` asks for. */
export interface StartOptions {
  readonly name: string;
  readonly pipeline: string;
  readonly from: Edge;
  /** Undefined: it goes on with what comes. */
  readonly to: Edge | undefined;
  readonly code: Checkout;
  /** Where workers keep state and logs. */
  readonly home: string;
  readonly rate: number;
  readonly maxLiveLag: number;
  readonly workers: number;
}

/** Room that a store needs at least for a second copy of a table, bytes. */
const MIN_ROOM = 256 * 1_048_576;

/** The group that `from` is committed to commits as nobody: only a group without members takes it. */
export const NOBODY = { memberId: '', generation: -1 } as const;

/**
 * Checks that a replay can run, plans its range and writes it down; its workers do the rest. Nothing is left when it is
 * refused.
 * @throws ReachflowError `REPLAY_EXISTS`, `UNKNOWN_PIPELINE`, `REPLAY_RANGE_CUT`, `REPLAY_RANGE_EMPTY`, `STORE_FULL`, and
 *   those of brokers and stores.
 */
export async function startReplay(
  home: ReplayHome,
  writer: ControlWriter,
  options: StartOptions,
): Promise<Replay> {
  const { name, pipeline } = options;
  requireFree(writer, name);
  const topology = pipelineNamed(home.catalog, pipeline);
  const scene = sceneOf(home, writer.state, { name, pipeline });
  await requireRoom(home, writer, scene, name);
  const inputs = inputTopicsOf(topology);
  const sources = [...new Set(groupsOf(topology).flatMap(({ sources: own }) => own))];
  await requireInputs(scene, inputs);
  const from = await offsetsOf(scene.live, sources, options.from);
  const ends = await offsetsOf(scene.live, sources, { at: 'end' });
  const to =
    options.to === undefined ? undefined : await offsetsOf(scene.live, sources, options.to);
  const isEmpty = (topic: TopicName) =>
    (from.get(topic) ?? []).every((first, i) => first >= ((to ?? ends).get(topic)?.[i] ?? first));
  if (to !== undefined && sources.every(isEmpty)) {
    throw new ReachflowError('there is nothing in that range', {
      code: 'REPLAY_RANGE_EMPTY',
      domain: 'user',
      hint: 'Is --from before --to?',
    });
  }
  const { code, home: dir, rate, maxLiveLag, workers } = options;
  mkdirSync(dir, { recursive: true });
  const replay: Replay = {
    ...{ name, pipeline, createdAt: Date.now(), code, home: dir },
    ...{ from: journaled(from), until: journaled(to ?? ends), rate, maxLiveLag, workers },
    ...(to === undefined ? {} : { to: journaled(to) }),
    ...{ state: 'running', positions: 'shadow' },
  };
  await commitFrom(home, scene, replay);
  await writer.write(
    { kind: 'replay', value: replay },
    { kind: 'audit', value: auditOf(replay, 'start') },
  );
  return replay;
}

/** Who did what, for the audit. */
export function auditOf({ name, pipeline }: Replay, action: string) {
  const by = process.env['USER'] ?? process.env['LOGNAME'] ?? 'unknown';
  return { at: Date.now(), replay: name, pipeline, action, by };
}

function requireFree({ state }: ControlWriter, name: string): void {
  const there = state.replays.get(name);
  if (there === undefined || there.state === 'cleaned') {
    const isLive = [...state.live().values()].includes(name);
    if (!isLive) return;
  }
  throw new ReachflowError(
    `there is a replay ${name} already, of ${there?.pipeline}, ${there?.state}`,
    {
      code: 'REPLAY_EXISTS',
      domain: 'user',
      hint: `Choose another name (--into), or remove what is left of it: reachflow replay clean ${name}`,
    },
  );
}

async function requireInputs({ live }: Scene, inputs: readonly TopicName[]): Promise<void> {
  const there = await topicPartitions(live);
  const missing = inputs.filter((topic) => !there.has(topic));
  if (missing.length === 0) return;
  throw new ReachflowError(`the pipeline's inputs are not there: ${missing.join(', ')}`, {
    code: 'REPLAY_NO_INPUT',
    domain: 'user',
    hint: 'Is kafka.namespace right? The first `reachflow run` makes the topics.',
  });
}

/** @throws ReachflowError `STORE_FULL`; what a store's client throws where it is away. */
async function requireRoom(
  home: ReplayHome,
  { state }: ControlWriter,
  scene: Scene,
  name: string,
): Promise<void> {
  const stores = openStores(home, scene, { name }, state);
  try {
    for (const [store, { shadow }] of stores) {
      const free = await shadow.room();
      if (free === undefined || free >= MIN_ROOM) continue;
      throw new ReachflowError(`${store} has ${Math.round(free / 1_048_576)} MiB left`, {
        code: 'STORE_FULL',
        domain: 'user',
        hint: 'A replay fills a second copy of its tables: make room first.',
      });
    }
  } finally {
    await Promise.all([...stores.values()].map(({ shadow }) => shadow.close()));
  }
}

/** Where the replay's own groups begin. */
async function commitFrom({ config }: ReplayHome, scene: Scene, { from }: Replay): Promise<void> {
  const { topology, shadow } = scene;
  const plans = planTopics([topology], [], config.kafka.partitions);
  const retries = new Set(
    groupsOf(topology).flatMap(({ sources }) => sources.map((t) => retryOf(t, topology.name))),
  );
  await ensureTopics(
    shadow,
    plans.filter(({ name }) => retries.has(name) && !isTopicName(name)),
  );
  for (const { group, sources } of groupsOf(topology)) {
    const offsets = new GroupOffsets(shadow, group);
    try {
      const partitions = sources.flatMap((topic) =>
        (from[topic] ?? []).map((_, partition) => ({ topic, partition })),
      );
      for (const of of partitions) {
        const first = BigInt(from[of.topic]?.[of.partition] ?? '0');
        await offsets.commit(NOBODY, of, first);
      }
    } finally {
      offsets.close();
    }
  }
}
