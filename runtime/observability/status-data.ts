import { sinkGroup } from '../delivery/sink-runner.ts';
import { describeGroups, type GroupMemberStatus, type GroupStatus } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { type GroupPosition, groupPositions, type WatchedGroup } from '../kafka/stats.ts';
import {
  announcedUrl,
  type ConnectorState,
  type ProcessIdentity,
  type ProcessReport,
  processReportSchema,
  type SinkStatus,
  type TaskStatus,
  type WorkerStatus,
} from './process-status.ts';

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
  /**
   * As its process says, of a sink `away` while its store takes nothing; `assigned` when the process cannot be asked,
   * `unassigned` without an owner.
   */
  readonly state: TaskStatus['state'] | 'away' | 'assigned' | 'unassigned';
  readonly inputs: readonly InputPosition[];
  readonly lag: number;
  /** From its process: state size, watermark, checkpoint, failure; absent when that cannot be asked. */
  readonly task?: TaskStatus;
  /** Since when the store of a sink takes nothing, ms since the epoch; absent when it is well. */
  readonly awaySince?: number;
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
  /** Of a supervisor. */
  readonly workers?: readonly WorkerStatus[];
}

/** Everything that `reachflow status` shows, at one moment. */
export interface StatusData {
  /** ms since the epoch. */
  readonly at: number;
  readonly groups: readonly GroupRows[];
  readonly processes: readonly ProcessRow[];
  /** Of every process. */
  readonly sinks: readonly SinkStatus[];
  readonly connectors: readonly ConnectorState[];
  /** Processes that did not answer. */
  readonly unreachable: readonly string[];
}

export interface StatusSource {
  readonly client: KafkaClient;
  readonly groups: readonly WatchedGroup[];
  /** Base URLs of processes to ask besides those that their client ids announce. */
  readonly workers: readonly string[];
  /** Where a process would answer that is started here; that there is none is no news. */
  readonly local?: string | undefined;
}

const SINK_PREFIX = sinkGroup('');
const MAX_PROCESSES = 256;
const ANSWER_TIMEOUT_MS = 1_000;

/**
 * Asks brokers and processes. Whoever asks again and again should hold the client's connections: `leaseCluster`.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function readStatus(source: StatusSource): Promise<StatusData> {
  const { client, groups, workers } = source;
  const [described, positions] = await Promise.all([
    describeGroups(
      client,
      groups.map(({ group }) => group),
    ),
    groupPositions(client, groups),
  ]);
  const asked = [...workers, ...described.flatMap(announcedUrls)];
  const answers = await askProcesses(asked, source.local);
  const { namespace } = client.config;
  const reports = answers.flatMap(({ url, report }) =>
    report?.process.namespace === namespace ? [{ url, report }] : [],
  );
  const running = tasksByName(reports.map(({ report }) => report));
  const sinks = sinksByOwner(reports);
  return {
    at: Date.now(),
    groups: groups.map((watched, i) =>
      rowsOf(watched, described[i], {
        positions: positions.get(watched.group) ?? [],
        running,
        sinks,
      }),
    ),
    processes: reports.map(({ url, report: { process, phase, workers: own } }) => ({
      ...process,
      ...{ url, phase },
      ...(own === undefined ? {} : { workers: own }),
    })),
    sinks: reports.flatMap(({ report }) => report.sinks),
    connectors: reports.flatMap(({ report }) => report.connectors),
    unreachable: answers.flatMap(({ url, report }) => (report === undefined ? [url] : [])),
  };
}

function announcedUrls({ members }: GroupStatus): string[] {
  return members.flatMap(({ clientId, host }) => announcedUrl(clientId, host) ?? []);
}

interface Answer {
  readonly url: string;
  readonly report?: ProcessReport;
}

/**
 * Asks processes, then the supervisors that they name: these are members of no group. One at `local` is found, too, when
 * none of its workers is there to name it. Each instance once, however many ways lead to it.
 */
async function askProcesses(urls: readonly string[], local: string | undefined): Promise<Answer[]> {
  const first = [...new Set(urls)].slice(0, MAX_PROCESSES);
  const [answers, here] = await Promise.all([
    Promise.all(first.map(askProcess)),
    local === undefined || first.includes(local) ? [] : askProcess(local),
  ]);
  const named = new Set(answers.flatMap(supervisorUrl));
  const more = await Promise.all([...named].filter((url) => !first.includes(url)).map(askProcess));
  const found = [here].flat().filter(({ report }) => report !== undefined);
  const seen = new Set<string>();
  return [...more, ...answers, ...found].filter(({ report }) => {
    if (report === undefined) return true;
    const { instance } = report.process;
    return !seen.has(instance) && seen.add(instance);
  });
}

function supervisorUrl({ url, report }: Answer): string[] {
  const port = report?.process.supervisorPort;
  return port === undefined ? [] : [Object.assign(new URL(url), { port: String(port) }).origin];
}

/** A process that does not answer, or not as one of ours, has no report. */
async function askProcess(url: string): Promise<Answer> {
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

/** By the sink's group and its process's URL. */
function sinksByOwner(
  reports: readonly { readonly url: string; readonly report: ProcessReport }[],
): Map<string, SinkStatus> {
  return new Map(
    reports.flatMap(({ url, report }) =>
      report.sinks.map((sink) => [`${sinkGroup(sink.name)} ${url}`, sink] as const),
    ),
  );
}

interface Found {
  /** Of the group. */
  readonly positions: readonly GroupPosition[];
  readonly running: ReadonlyMap<string, TaskStatus>;
  readonly sinks: ReadonlyMap<string, SinkStatus>;
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
    const positions = found.positions.filter(({ topic }) => own.includes(topic));
    const count = Math.max(0, ...positions.map(({ partition }) => partition + 1));
    return Array.from({ length: count }, (_, partition) => {
      const inputs = positions.filter((position) => position.partition === partition);
      return rowOf(group, partition, inputs, owners, found);
    });
  });
  return { group, state: described?.state ?? 'Dead', tasks };
}

function rowOf(
  group: string,
  partition: number,
  positions: readonly GroupPosition[],
  owners: ReadonlyMap<string, GroupMemberStatus>,
  { running, sinks }: Found,
): TaskRow {
  const inputs = positions.map(inputOf);
  const [owner] = positions.flatMap(({ topic }) => owners.get(`${topic}/${partition}`) ?? []);
  const task = running.get(`${group}/${partition}`);
  const url = owner === undefined ? undefined : announcedUrl(owner.clientId, owner.host);
  const sink = url === undefined ? undefined : sinks.get(`${group} ${url}`);
  return {
    partition,
    ...(owner === undefined ? {} : { owner: { clientId: owner.clientId, host: owner.host } }),
    state: task?.state ?? sinkState(sink) ?? (owner === undefined ? 'unassigned' : 'assigned'),
    inputs,
    lag: inputs.reduce((sum, { lag }) => sum + lag, 0),
    ...(task === undefined ? {} : { task }),
    ...(sink?.awaySince === undefined ? {} : { awaySince: sink.awaySince }),
  };
}

function sinkState(sink: SinkStatus | undefined): TaskRow['state'] | undefined {
  if (sink === undefined) return undefined;
  return sink.awaySince === undefined ? 'running' : 'away';
}

/** By `<topic>/<partition>`. */
function ownersOf(members: readonly GroupMemberStatus[]): Map<string, GroupMemberStatus> {
  return new Map(
    members.flatMap((member) =>
      member.assigned.map(({ topic, partition }) => [`${topic}/${partition}`, member] as const),
    ),
  );
}

function inputOf({ topic, committed, end, lag }: GroupPosition): InputPosition {
  return {
    topic,
    ...(committed === undefined ? {} : { committed: Number(committed) }),
    end: Number(end),
    lag: Number(lag),
  };
}
