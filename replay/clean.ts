import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { describeGroups, topicPartitions } from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { deleteNames } from '../runtime/kafka/range-admin.ts';
import type { ControlWriter } from './control.ts';
import type { Replay } from './journal.ts';
import { groupsOf, ownedBy, suffixOf } from './ownership.ts';
import { refuseState, requireReplay } from './promote.ts';
import { openStores, type ReplayHome, type Scene, sceneOf } from './scene.ts';
import { auditOf } from './start.ts';

/**
 * Deletes the side that is not live: of a replay that was promoted, what it took the place of, and its pipeline is run by
 * whatever code `reachflow run` has from then on; of any other, all that it wrote. May be called again.
 * @throws ReachflowError `REPLAY_STATE` while a swap is under way; `REPLAY_RUNS` while its processes do.
 */
export async function cleanReplay(
  home: ReplayHome,
  writer: ControlWriter,
  name: string,
): Promise<Replay> {
  const replay = requireReplay(writer, name);
  if (replay.state === 'promoting' || replay.state === 'reverting') {
    throw refuseState(replay, 'cleaned', 'Finish it first: run the same command again.');
  }
  const isLive = writer.state.live().get(replay.pipeline) === name;
  const scene = sceneOf(home, writer.state, replay);
  const stores = openStores(home, scene, replay, writer.state);
  // The names of a first generation are those that other generations have, too: only what this one alone has is deleted.
  const gone = isLive ? scene.withPrevious : scene.shadow;
  await requireIdle(gone, scene, isLive);
  try {
    for (const { shadow, shadows } of stores.values()) await shadow.drop(shadows, suffixOf(name));
  } finally {
    await Promise.all([...stores.values()].map(({ shadow }) => shadow.close()));
  }
  await deleteNames(gone, await namesOf(gone, scene, isLive));
  const done: Replay = { ...replay, state: 'cleaned' };
  const pointer = writer.state.pointers.get(replay.pipeline);
  await writer.write(
    { kind: 'replay', value: done },
    { kind: 'audit', value: auditOf(done, 'clean') },
    ...(isLive && pointer !== undefined
      ? [{ kind: 'pointer' as const, value: { ...pointer, code: null } }]
      : []),
  );
  return done;
}

async function requireIdle(gone: KafkaClient, scene: Scene, isLive: boolean): Promise<void> {
  const groups = groupsOf(scene.topology).map(({ group }) => group);
  const sinks = isLive ? [] : scene.stores.map(sinkGroup);
  const found = await describeGroups(gone, [...groups, ...sinks]);
  const busy = found.filter(({ members }) => members.length > 0).map(({ group }) => group);
  if (busy.length === 0) return;
  throw new ReachflowError(`processes still run what is to be deleted: ${busy.join(', ')}`, {
    code: 'REPLAY_RUNS',
    domain: 'user',
    hint: 'Stop it first: reachflow replay stop NAME. Old processes of the pipeline have to be stopped, too.',
  });
}

/** Topics and groups on the brokers. The sinks' groups of what was live go on with other topics. */
async function namesOf(
  gone: KafkaClient,
  { topology, stores, withShadow }: Scene,
  isLive: boolean,
): Promise<{ readonly topics: string[]; readonly groups: string[] }> {
  const owns = ownedBy(topology);
  const there = await topicPartitions(gone);
  const topics = [...there.keys()].filter(owns).map((topic) => gone.physical(topic));
  const groups = groupsOf(topology).map(({ group }) => gone.physical(group));
  const sinks = isLive ? [] : stores.map((store) => gone.physical(sinkGroup(store)));
  const kept = new Set(
    [...there.keys()].map((topic) => (isLive ? withShadow.physical(topic) : '')),
  );
  return { topics: topics.filter((topic) => !kept.has(topic)), groups: [...groups, ...sinks] };
}
