import { setTimeout as delay } from 'node:timers/promises';
import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { describeGroups, topicPartitions } from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { GroupOffsets } from '../runtime/kafka/group-offsets.ts';
import type { Side } from '../sinks/shadow.ts';
import type { ControlWriter } from './control.ts';
import type { Pointer, Replay } from './journal.ts';
import { inputTopicsOf, outputsOf, suffixOf } from './ownership.ts';
import {
  openStores,
  pipelineNamed,
  type ReplayHome,
  type Scene,
  sceneOf,
  sinkInputs,
} from './scene.ts';
import { auditOf, NOBODY } from './start.ts';

/** A place in the swap at which a process may end: `docs/adr/0021-replay.md` says what holds there. */
export type Step = 'journaled' | 'released' | 'positions' | `store ${string}` | 'pointed';

export interface SwapOptions {
  /** How long to wait for processes to let go of the sinks, ms. */
  readonly releaseMs: number;
  /** Rows that differ and are accepted, for the audit. */
  readonly differences?: number;
  /** Told after each step is done; what it throws ends the swap there. For tests, and for those who watch. */
  readonly onStep?: (step: Step) => void | Promise<void>;
}

const POLL_MS = 100;

/**
 * Puts what a replay wrote in the place of what is live, or (`live`) takes it back. Journaled: called again after a crash it
 * goes on, and what is done already stays as it is.
 * @throws ReachflowError `REPLAY_NOT_RELEASED` when a process does not let go, `SHADOW_CANNOT_SWAP`, `REPLAY_STATE`.
 */
export async function swap(
  home: ReplayHome,
  writer: ControlWriter,
  name: string,
  side: Side,
  options: SwapOptions,
): Promise<Replay> {
  let replay = await journalSwap(home, writer, requireReplay(writer, name), side);
  const scene = sceneOf(home, writer.state, replay);
  const step = async (done: Step) => options.onStep?.(done);
  await step('journaled');
  await whenReleased(scene, options.releaseMs);
  await step('released');
  const owner = side === 'shadow' ? 'live' : 'shadow';
  if (replay.positions !== owner) {
    await movePositions(scene, side);
    replay = { ...replay, positions: owner };
    await writer.write({ kind: 'replay', value: replay });
  }
  await step('positions');
  const stores = openStores(home, scene, replay, writer.state);
  try {
    for (const [store, { shadow }] of stores) {
      await shadow.exchange(replay.exchanges?.[store] ?? [], side, suffixOf(name));
      await step(`store ${store}`);
    }
  } finally {
    await Promise.all([...stores.values()].map(({ shadow }) => shadow.close()));
  }
  const done: Replay = { ...replay, state: side === 'shadow' ? 'promoted' : 'running' };
  const audit = auditOf(done, side === 'shadow' ? 'promote' : 'rollback');
  const { differences } = options;
  await writer.write(
    { kind: 'replay', value: done },
    { kind: 'pointer', value: pointerOf(replay, side, false) },
    { kind: 'audit', value: { ...audit, ...(differences === undefined ? {} : { differences }) } },
  );
  await step('pointed');
  return done;
}

/** @throws ReachflowError `REPLAY_NOT_FOUND`. */
export function requireReplay({ state }: Pick<ControlWriter, 'state'>, name: string): Replay {
  const replay = state.replays.get(name);
  if (replay !== undefined) return replay;
  const names = [...state.replays.keys()];
  throw new ReachflowError(`there is no replay ${name}`, {
    code: 'REPLAY_NOT_FOUND',
    domain: 'user',
    hint:
      names.length === 0 ? 'reachflow replay start makes one.' : `There are: ${names.join(', ')}.`,
  });
}

export function refuseState({ name, state }: Replay, action: string, hint: string): ReachflowError {
  return new ReachflowError(`the replay ${name} is ${state}: it cannot be ${action}`, {
    code: 'REPLAY_STATE',
    domain: 'user',
    hint,
  });
}

/** The pointer of a pipeline while a swap is under way: to what is left; afterwards to what came. */
function pointerOf(replay: Replay, side: Side, held: boolean): Pointer {
  const { pipeline, name, previous = null, code } = replay;
  const isShadow = held ? side === 'live' : side === 'shadow';
  return {
    ...{ pipeline, held },
    generation: isShadow ? name : previous,
    code: isShadow ? code.digest : null,
  };
}

/** Writes down what is about to be exchanged, and has the sinks let go of it. */
async function journalSwap(
  home: ReplayHome,
  writer: ControlWriter,
  replay: Replay,
  side: Side,
): Promise<Replay> {
  const under = side === 'shadow' ? 'promoting' : 'reverting';
  if (replay.state === under) return replay;
  const allowed: readonly Replay['state'][] =
    side === 'shadow' ? ['running', 'paused', 'reverting'] : ['promoted', 'promoting'];
  if (!allowed.includes(replay.state)) {
    const action = side === 'shadow' ? 'promoted' : 'rolled back';
    throw refuseState(replay, action, 'reachflow replay list shows what there is.');
  }
  const isAgain = replay.state === 'promoting' || replay.state === 'reverting';
  if (!isAgain) refuseReaders(home, replay);
  let next: Replay = { ...replay, state: under };
  if (side === 'shadow' && !isAgain) {
    const previous = writer.state.live().get(replay.pipeline) ?? null;
    next = { ...next, previous, exchanges: await planned(home, writer, { ...replay, previous }) };
  }
  const before = writer.state.pointers.get(replay.pipeline);
  const held = { ...(before ?? pointerOf(next, side, true)), held: true };
  await writer.write({ kind: 'replay', value: next }, { kind: 'pointer', value: held });
  return next;
}

/** Who reads the outputs as a stream has no position in those of another generation. */
function refuseReaders({ catalog, active }: ReplayHome, { pipeline }: Replay): void {
  const outputs = outputsOf(pipelineNamed(catalog, pipeline));
  const readers = active.filter((other) =>
    inputTopicsOf(other).some((topic) => outputs.includes(topic)),
  );
  if (readers.length === 0) return;
  const names = readers.map(({ name }) => name).join(', ');
  throw new ReachflowError(`${names} would begin anew in the outputs of the replay`, {
    code: 'REPLAY_HAS_READERS',
    domain: 'user',
    hint: 'Only a pipeline whose outputs no other pipeline reads can be swapped so far.',
  });
}

/** Nothing is changed yet when a store cannot exchange its tables. */
async function planned(
  home: ReplayHome,
  writer: ControlWriter,
  replay: Replay,
): Promise<NonNullable<Replay['exchanges']>> {
  const scene = sceneOf(home, writer.state, replay);
  const stores = openStores(home, scene, replay, writer.state);
  try {
    const plans = [...stores].map(
      async ([store, { shadow, live, shadows }]) =>
        [store, await shadow.plan(live, shadows)] as const,
    );
    return Object.fromEntries(await Promise.all(plans));
  } finally {
    await Promise.all([...stores.values()].map(({ shadow }) => shadow.close()));
  }
}

/** A group without members has no sink at work, and the next commit of one that was frozen is refused. */
async function whenReleased({ live, shadow, stores }: Scene, limitMs: number): Promise<void> {
  const groups = stores.map(sinkGroup);
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = (
      await Promise.all([describeGroups(live, groups), describeGroups(shadow, groups)])
    ).flat();
    const busy = found.filter(({ members }) => members.length > 0);
    if (busy.length === 0) return;
    if (performance.now() > deadline) {
      const hosts = [...new Set(busy.flatMap(({ members }) => members.map(({ host }) => host)))];
      throw new ReachflowError(
        `${busy.map(({ group }) => group).join(', ')} still run, on ${hosts.join(', ')}`,
        {
          code: 'REPLAY_NOT_RELEASED',
          domain: 'external',
          hint: 'Is it a process of a version before replays? Stop it, and run the command again; or `replay rollback`.',
        },
      );
    }
    await delay(POLL_MS);
  }
}

/**
 * The positions of the sinks in the topics that become live go to the live groups, with what was planned there; those in the
 * topics that they leave stay where they are, for the way back.
 */
async function movePositions(scene: Scene, side: Side): Promise<void> {
  const { shadow, withShadow, stores, outputs } = scene;
  const there = await topicPartitions(shadow);
  for (const store of stores) {
    const partitions = sinkInputs(store, outputs).flatMap((topic) =>
      Array.from({ length: there.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
    );
    const [from, to] = side === 'shadow' ? [shadow, withShadow] : [withShadow, shadow];
    await copyOffsets(sinkGroup(store), from, to, partitions);
  }
}

async function copyOffsets(
  group: string,
  from: KafkaClient,
  to: KafkaClient,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): Promise<void> {
  const [source, target] = [new GroupOffsets(from, group), new GroupOffsets(to, group)];
  try {
    const there = await source.read(partitions);
    await target.read(partitions);
    for (const { topic, partition, offset, metadata } of there) {
      if (offset === undefined) continue;
      await target.commit(NOBODY, { topic, partition }, offset, metadata);
    }
  } finally {
    source.close();
    target.close();
  }
}
