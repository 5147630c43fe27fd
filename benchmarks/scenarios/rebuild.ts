import { cp, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkpointConfigSchema } from '../../runtime/checkpoint/config.ts';
import { MANIFEST } from '../../runtime/checkpoint/layout.ts';
import { stateConfigSchema } from '../../runtime/state/config.ts';
import { localStates } from '../../runtime/task/local-states.ts';
import { TaskOpener } from '../../runtime/task/task-opener.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { type Contestant, ContestantProcess } from '../harness/contestant.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { fillArena, workloadFor } from '../harness/measure.ts';
import { awaitRead } from '../harness/progress.ts';
import { figureOf, type Sample, spreadOf } from '../harness/report.ts';
import { alternate, type Scenario, type ScenarioOptions } from '../harness/scenario.ts';
import { Truth } from '../input/truth.ts';
import { topologies } from '../topologies.ts';

/** One in so many of the records comes after the checkpoint: the changelog's tail. */
const TAIL_PART = 10;
const CHECKPOINT_MS = 1_000;
const SETTLE_MS = 120_000;
const POLL_MS = 200;
/** The first ones are not counted: code is compiled, and connections are made. */
const ROUNDS = 25;
const UNCOUNTED = 5;
const TARGET_MS = 100;

/** The deduplication's tasks, whose state is looked at. */
const [SUB] = topologies.t1.subTopologies;

/** What there is to rebuild from. */
interface Remains {
  readonly arena: Arena;
  readonly directory: string;
  /** Checkpoints as they were before the tail. */
  readonly checkpoints: string;
}

/** Waits until each task has a checkpoint. @throws Error when they do not come. */
async function checkpointed(directory: string, partitions: number): Promise<void> {
  const tasks = topologies.t1.subTopologies.length * partitions;
  for (let waited = 0; waited < SETTLE_MS; waited += POLL_MS) {
    await delay(POLL_MS);
    const files = await readdir(directory, { recursive: true });
    const saved = files
      .filter((path) => basename(path) === MANIFEST)
      .map((path) => dirname(dirname(path)));
    if (new Set(saved).size >= tasks) return;
  }
  throw new Error(`not every task had a checkpoint within ${SETTLE_MS} ms`);
}

/** T1 makes the state; a checkpoint is taken of most of it. */
async function prepared(
  environment: Environment,
  contestant: Contestant,
  { records, seed }: ScenarioOptions,
): Promise<Remains> {
  const arena = await environment.arena('rebuild');
  const directory = await environment.directory('rebuild');
  const workload = workloadFor(records, seed, 'scattered');
  const truth = new Truth(environment.partitions);
  const tail = Math.ceil(records / TAIL_PART);
  const { brokers, registryUrl } = environment;
  const context = { work: 't1' as const, brokers, registryUrl, checkpointMs: CHECKPOINT_MS };
  const child = await ContestantProcess.spawn(contestant, context, directory);
  const checkpoints = join(directory, 'frozen');
  try {
    await fillArena(environment, arena, workload, records - tail, truth);
    const { reads } = await child.start(arena);
    await awaitRead(arena.client, reads);
    await checkpointed(join(directory, 'checkpoints'), environment.partitions);
    await cp(join(directory, 'checkpoints'), checkpoints, { recursive: true });
    await fillArena(environment, arena, workload, tail, truth);
    await awaitRead(arena.client, reads);
    await child.finish();
  } finally {
    await child.end();
  }
  return { arena, directory, checkpoints };
}

/** Tasks opened in this process, from nothing local: from fencing the earlier owner until they could run. */
async function opened(
  environment: Environment,
  { arena, directory }: Remains,
  checkpoints: string | undefined,
): Promise<{ ms: number; cpuMs: number; entries: number; changelogRecords: number }> {
  if (SUB === undefined) throw new Error('T1 has no sub-topology');
  const dir = join(directory, 'again');
  const states = localStates({
    state: stateConfigSchema.parse({ dir }),
    checkpoint: checkpointConfigSchema.parse(
      checkpoints === undefined ? { target: 'none' } : { directory: checkpoints },
    ),
    versions: {},
    logger: environment.logger,
  });
  const codec = new TopicCodec(
    createSchemaRegistryClient(environment.registryUrl),
    arena.client.physical,
  );
  await codec.register(['webhook.received', 'event.recorded', 'metric.tenant.count']);
  const opener = new TaskOpener({
    ...{ pipeline: topologies.t1.name, sub: SUB, client: arena.client, states, tables: new Map() },
    codec,
    logger: environment.logger,
    channelsOf: () => environment.partitions,
    partitionsOf: () => environment.partitions,
  });
  let changelogRecords = 0;
  const requests = Array.from({ length: environment.partitions }, (_, partition) => ({
    partition,
    signal: new AbortController().signal,
    onProgress: ({ records }: { readonly records: number }) => {
      changelogRecords += records;
    },
  }));
  const before = process.cpuUsage();
  const began = performance.now();
  const tasks = await Promise.all(opener.open(requests).values());
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(before);
  let entries = 0;
  for (const task of tasks) {
    const { stores } = task.state.stats();
    for (const store of stores) if (!store.name.startsWith('#')) entries += store.entries;
    await task.close();
  }
  await states.stop();
  await rm(dir, { recursive: true, force: true });
  return { ms, cpuMs: (user + system) / 1_000, entries, changelogRecords };
}

async function rebuilt(
  environment: Environment,
  contestant: Contestant,
  run: number,
  options: ScenarioOptions,
): Promise<Sample[]> {
  const remains = await prepared(environment, contestant, options);
  try {
    const samples: Sample[] = [];
    for (const [title, checkpoints] of [
      ['checkpoint and tail', remains.checkpoints],
      ['changelog alone', undefined],
    ] as const) {
      const rounds: Awaited<ReturnType<typeof opened>>[] = [];
      for (let round = 0; round < ROUNDS; round += 1)
        rounds.push(await opened(environment, remains, checkpoints));
      const counted = rounds.slice(UNCOUNTED);
      const { median, max } = spreadOf(counted.map(({ ms }) => ms));
      const { median: cpuMs } = spreadOf(counted.map((round) => round.cpuMs));
      const last = rounds.at(-1);
      const { entries = 0, changelogRecords = 0 } = last ?? {};
      const figures = { medianMs: median, maxMs: max, cpuMs, entries, changelogRecords };
      samples.push({ contestant: title, run, figures });
    }
    return samples;
  } finally {
    await remains.arena.remove();
  }
}

export const rebuild: Scenario = {
  name: 'rebuild',
  summary: 'getting the state of 1,000 entries back in a process that runs, from nothing local',
  peers: false,
  defaults: { records: 1_111, warmUp: 0, runs: 1 },
  async run(environment, contestants, options) {
    const perRun = await alternate(contestants, options, (contestant, run) =>
      rebuilt(environment, contestant, run, options),
    );
    const samples = perRun.flat();
    const ratios = [...new Set(samples.map(({ contestant }) => contestant))].map((name) => ({
      name: `${name}: to ${TARGET_MS} ms`,
      value: figureOf(samples, name, 'medianMs').median / TARGET_MS,
    }));
    const columns = [
      { figure: 'medianMs', title: 'ms', digits: 1 },
      { figure: 'maxMs', title: 'most ms', digits: 1 },
      { figure: 'cpuMs', title: 'CPU ms', digits: 1 },
      { figure: 'entries', title: 'entries', digits: 0 },
      { figure: 'changelogRecords', title: 'changelog records', digits: 0 },
    ];
    return { columns, samples, ratios };
  },
};
