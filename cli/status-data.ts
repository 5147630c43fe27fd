import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import {
  committedOffsets,
  describeGroups,
  type GroupMemberStatus,
  type GroupStatus,
  topicPartitions,
} from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { manyPartitionOffsets, type PartitionOffsets } from '../runtime/kafka/partition-offsets.ts';
import type { WatchedGroup } from '../runtime/kafka/stats.ts';
import {
  announcedUrl,
  type ProcessIdentity,
  type ProcessReport,
  processReportSchema,
  type TaskStatus,
} from '../runtime/observability/process-status.ts';

/** How far a group is on one partition of a topic. */
export interface InputPosition {
  readonly topic: string;
  /** Next offset to read; absent when nothing was committed. */
  readonly committed?: number;
  readonly end: number;
  readonly lag: number;
}

/** What one member holds as one: a task, with that partition of each of its topics; or one partition of a sink's topic. */
export interface TaskRow {
  readonly partition: number;
  /** Client id and address; absent when no member has it. */
  readonly owner?: { readonly clientId: string; readonly host: string };
  /** As its process says; `assigned` when that cannot be asked, `unassigned` without an owner. */
  readonly state: TaskStatus['state'] | 'assigned' | 'unassigned';
  readonly inputs: readonly InputPosition[];
  readonly lag: number;
  /** From its process: state size, watermark, checkpoint, failure; absent when that cannot be asked. */
  readonly task?: TaskStatus;
}

export interface GroupRows {
  /** `<pipeline>.<sub-topology>` or `sink.<name>`. */
  readonly group: string;
  /** Of the group, as the broker says it; `Dead` when there is none. */
  readonly state: string;
  readonly tasks: readonly TaskRow[];
}

export interface ProcessRow extends ProcessIdentity {
  readonly url: string;
  readonly phase: ProcessReport['phase'];
}

/** Everything that `reachflow status` shows, at one moment. */
export interface StatusData {
  /** ms since the epoch. */
  readonly at: number;
  readonly groups: readonly GroupRows[];
  readonly processes: readonly ProcessRow[];
  /** Processes that did not answer. */
  readonly unreachable: readonly string[];
}

export interface StatusSource {
  readonly client: KafkaClient;
  readonly groups: readonly WatchedGroup[];
  /** Base URLs of processes to ask besides those that their client ids announce. */
  readonly workers: readonly string[];
}

const SINK_PREFIX = sinkGroup('');
const MAX_PROCESSES = 256;
const ANSWER_TIMEOUT_MS = 1_000;

/** Asks brokers and processes. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function readStatus({ client, groups, workers }: StatusSource): Promise<StatusData> {
  const [described, partitions] = await Promise.all([
    describeGroups(
      client,
      groups.map(({ group }) => group),
    ),
    topicPartitions(client),
  ]);
  const urls = new Set([...workers, ...described.flatMap(announcedUrls)]);
  const [ends, committed, answers] = await Promise.all([
    endsOf(client, groups, partitions),
    committedOf(client, groups, described, partitions),
    Promise.all([...urls].slice(0, MAX_PROCESSES).map(askProcess)),
  ]);
  const { namespace } = client.config;
  const reports = answers.flatMap(({ url, report }) =>
    report?.process.namespace === namespace ? [{ url, report }] : [],
  );
  const running = tasksByName(reports.map(({ report }) => report));
  return {
    at: Date.now(),
    groups: groups.map((watched, i) =>
      rowsOf(watched, described[i], { partitions, ends, committed, running }),
    ),
    processes: reports.map(({ url, report }) => ({ ...report.process, url, phase: report.phase })),
    unreachable: answers.flatMap(({ url, report }) => (report === undefined ? [url] : [])),
  };
}

function announcedUrls({ members }: GroupStatus): string[] {
  return members.flatMap(({ clientId, host }) => announcedUrl(clientId, host) ?? []);
}

/** A process that does not answer, or not as one of ours, has no report. */
async function askProcess(url: string): Promise<{ url: string; report?: ProcessReport }> {
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch(new URL('/status', url), { signal });
    const parsed = processReportSchema.safeParse(await response.json());
    return parsed.success ? { url, report: parsed.data } : { url };
  } catch {
    return { url };
  }
}

/** What one process says of a task that another has taken over is of no interest: the one at work wins. */
function tasksByName(reports: readonly ProcessReport[]): Map<string, TaskStatus> {
  const found = new Map<string, TaskStatus>();
  for (const task of reports.flatMap(({ tasks }) => tasks)) {
    if (task.state === 'closed' || task.state === 'fenced') continue;
    const name = `${task.pipeline}.${task.subTopology}/${task.partition}`;
    if (found.get(name)?.state !== 'running') found.set(name, task);
  }
  return found;
}

type Partitions = ReadonlyMap<string, number>;
type Ends = ReadonlyMap<string, readonly PartitionOffsets[]>;
type Committed = ReadonlyMap<string, ReadonlyMap<number, bigint | undefined>>;

/** Of every topic that exists, in one request a broker. */
async function endsOf(
  client: KafkaClient,
  groups: readonly WatchedGroup[],
  partitions: Partitions,
): Promise<Ends> {
  const topics = [...new Set(groups.flatMap(({ topics: own }) => own))];
  const wanted = topics.flatMap((topic) =>
    Array.from({ length: partitions.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
  const offsets = wanted.length === 0 ? [] : await manyPartitionOffsets(client, wanted);
  const ends = new Map<string, PartitionOffsets[]>(topics.map((topic) => [topic, []]));
  for (const [i, found] of offsets.entries()) ends.get(wanted[i]?.topic ?? '')?.push(found);
  return ends;
}

/** By `<group> <topic>`. A group that the coordinator does not know has committed nothing. */
async function committedOf(
  client: KafkaClient,
  groups: readonly WatchedGroup[],
  described: readonly GroupStatus[],
  partitions: Partitions,
): Promise<Committed> {
  const known = groups.filter((_, i) => described[i]?.state !== 'Dead');
  const pairs = known.flatMap(({ group, topics }) =>
    topics.filter((topic) => partitions.has(topic)).map((topic) => ({ group, topic })),
  );
  const offsets = await Promise.all(
    pairs.map(({ group, topic }) => committedOffsets(client, group, topic)),
  );
  return new Map(
    pairs.map(({ group, topic }, i) => [`${group} ${topic}`, offsets[i] ?? new Map()]),
  );
}

interface Found {
  readonly partitions: Partitions;
  readonly ends: Ends;
  readonly committed: Committed;
  readonly running: ReadonlyMap<string, TaskStatus>;
}

function rowsOf(
  { group, topics }: WatchedGroup,
  described: GroupStatus | undefined,
  found: Found,
): GroupRows {
  const owners = ownersOf(described?.members ?? []);
  // The partitions of a task stay together; a sink's are spread one by one.
  const together = group.startsWith(SINK_PREFIX) ? topics.map((topic) => [topic]) : [topics];
  const tasks = together.flatMap((own) => {
    const count = Math.max(0, ...own.map((topic) => found.partitions.get(topic) ?? 0));
    return Array.from({ length: count }, (_, partition) =>
      rowOf(group, own, partition, owners, found),
    );
  });
  return { group, state: described?.state ?? 'Dead', tasks };
}

function rowOf(
  group: string,
  topics: readonly string[],
  partition: number,
  owners: ReadonlyMap<string, GroupMemberStatus>,
  found: Found,
): TaskRow {
  const inputs = topics.flatMap((topic) => inputOf(group, topic, partition, found) ?? []);
  const [owner] = topics.flatMap((topic) => owners.get(`${topic}/${partition}`) ?? []);
  const task = found.running.get(`${group}/${partition}`);
  return {
    partition,
    ...(owner === undefined ? {} : { owner: { clientId: owner.clientId, host: owner.host } }),
    state: task?.state ?? (owner === undefined ? 'unassigned' : 'assigned'),
    inputs,
    lag: inputs.reduce((sum, { lag }) => sum + lag, 0),
    ...(task === undefined ? {} : { task }),
  };
}

/** By `<topic>/<partition>`. */
function ownersOf(members: readonly GroupMemberStatus[]): Map<string, GroupMemberStatus> {
  return new Map(
    members.flatMap((member) =>
      member.assigned.map(({ topic, partition }) => [`${topic}/${partition}`, member] as const),
    ),
  );
}

function inputOf(
  group: string,
  topic: string,
  partition: number,
  { ends, committed }: Found,
): InputPosition | undefined {
  const offsets = ends.get(topic)?.[partition];
  if (offsets === undefined) return undefined;
  const next = committed.get(`${group} ${topic}`)?.get(partition);
  const lag = offsets.high - (next ?? offsets.low);
  return {
    topic,
    ...(next === undefined ? {} : { committed: Number(next) }),
    end: Number(offsets.high),
    lag: lag > 0n ? Number(lag) : 0,
  };
}
