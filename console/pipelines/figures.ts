import { sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import type { TaskStatus } from '../../runtime/observability/process-status.ts';
import type { GroupRows, StatusData } from '../../runtime/observability/status-data.ts';
import { groupOf, sourcesOf, type Topology } from '../../runtime/topology/graph.ts';
import { dlqOf } from '../../schemas/topics.ts';
import type { Parts } from './graph.ts';
import { Rates } from './rates.ts';

/** What is written on a node at one moment; what is not known is absent. */
export interface NodeFigures {
  /** Records per second. */
  readonly rate?: number | undefined;
  /** Offsets still to read; markers of transactions count. */
  readonly lag?: number;
  /** How far event time is behind the clock in the task that is furthest, and in the one that is least far, ms. */
  readonly watermarkAge?: { readonly newest: number; readonly oldest: number };
  readonly stateBytes?: number;
  readonly stores?: Readonly<Record<string, { readonly entries: number; readonly bytes: number }>>;
  /** How many tasks or partitions are in which state. */
  readonly states?: Readonly<Record<string, number>>;
  /** `well`, `waiting` (nobody has it, or it restores), `trouble`. */
  readonly health: 'well' | 'waiting' | 'trouble';
  /** For people. */
  readonly detail?: string;
  /** Letters in its dead letter queues, those that were dealt with among them. */
  readonly letters?: number;
}

/** Everything that the view of the pipelines shows besides the graph. */
export interface Figures {
  /** ms since the epoch. */
  readonly at: number;
  /** By the node's id. */
  readonly nodes: Readonly<Record<string, NodeFigures>>;
  readonly processes: number;
  readonly unreachable: readonly string[];
}

/** Makes figures of what brokers and processes say; keeps what rates need. */
export class FigureMaker {
  readonly #parts: Parts;
  readonly #rates = new Rates();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @param letters in the dead letter queues, by their names. */
  figures(status: StatusData, letters: ReadonlyMap<string, number>): Figures {
    const { connectors, pipelines, sinks } = this.#parts;
    const { at } = status;
    const nodes: Record<string, NodeFigures> = {};
    const seen = new Set<string>();
    const rate = (name: string, total: number | undefined) => {
      if (total === undefined) return undefined;
      seen.add(name);
      return this.#rates.observe(name, total, at);
    };
    for (const { name } of connectors) nodes[`connector:${name}`] = connectorFigures(status, name);
    for (const pipeline of pipelines) {
      for (const sub of pipeline.subTopologies) {
        const { name } = sub;
        const group = groupOf(pipeline.name, name);
        const rows = status.groups.find((of) => of.group === group);
        const tasks = tasksOf(rows);
        const taken = sum(tasks.map((task) => readBy(pipeline, task)));
        nodes[`task:${group}`] = {
          ...groupFigures(rows, at),
          rate: rate(`task:${group}`, tasks.length === 0 ? undefined : taken),
          letters: sum(
            sourcesOf(sub).map(({ topic }) => letters.get(dlqOf(topic, pipeline.name)) ?? 0),
          ),
        };
      }
    }
    for (const { name, topics } of sinks) {
      const own = status.sinks.filter((sink) => sink.name === name);
      const delivered = own.length === 0 ? undefined : sum(own.map((sink) => sink.delivered));
      nodes[`sink:${name}`] = {
        ...groupFigures(
          status.groups.find(({ group }) => group === sinkGroup(name)),
          at,
        ),
        rate: rate(`sink:${name}`, delivered),
        letters: sum(topics.map((topic) => letters.get(dlqOf(topic, name)) ?? 0)),
      };
    }
    for (const [topic, total] of this.#topicTotals(status)) {
      nodes[`topic:${topic}`] = { rate: rate(`topic:${topic}`, total), health: 'well' };
    }
    this.#rates.keep(seen);
    return { at, nodes, processes: status.processes.length, unreachable: status.unreachable };
  }

  /**
   * How many records a topic has seen: by who writes it, else who reads it. Offsets tell it only where neither does so
   * in a pipeline, since they count the markers of transactions, too.
   */
  #topicTotals({ groups }: StatusData): Map<string, number> {
    const ends = new Map<string, Map<number, number>>();
    for (const { partition, inputs } of groups.flatMap(({ tasks }) => tasks)) {
      for (const { topic, end } of inputs) {
        const own = ends.get(topic) ?? new Map<number, number>();
        ends.set(topic, own.set(partition, end));
      }
    }
    const totals = new Map([...ends].map(([topic, own]) => [topic, sum([...own.values()])]));
    const read = new Map<string, number>();
    const written = new Map<string, number>();
    for (const pipeline of this.#parts.pipelines) {
      for (const { name, nodes } of pipeline.subTopologies) {
        const tasks = tasksOf(groups.find(({ group }) => group === groupOf(pipeline.name, name)));
        if (tasks.length === 0) continue;
        for (const { name: step, source, sink } of nodes) {
          const count = sum(tasks.map(({ steps = [] }) => takenBy(steps, step)));
          if (source !== undefined)
            read.set(source.topic, Math.max(count, read.get(source.topic) ?? 0));
          if (sink !== undefined) written.set(sink.topic, count + (written.get(sink.topic) ?? 0));
        }
      }
    }
    return new Map([...totals, ...read, ...written]);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function takenBy(steps: NonNullable<TaskStatus['steps']>, step: string): number {
  return steps.find((of) => of.step === step)?.in ?? 0;
}

function tasksOf(rows: GroupRows | undefined): TaskStatus[] {
  return (rows?.tasks ?? []).flatMap(({ task }) => task ?? []);
}

/** Records that a task took from its topics. */
function readBy({ subTopologies }: Topology, { subTopology, steps = [] }: TaskStatus): number {
  const sources = subTopologies
    .filter(({ name }) => name === subTopology)
    .flatMap(({ nodes }) => nodes.filter(({ source }) => source !== undefined));
  return sum(sources.map(({ name }) => takenBy(steps, name)));
}

function connectorFigures({ connectors }: StatusData, name: string): NodeFigures {
  const own = connectors.filter((connector) => connector.name === name);
  const bad = own.find(({ state }) => state === 'failed' || state === 'degraded');
  const shown = bad ?? own[0];
  if (shown === undefined) return { health: 'waiting', detail: 'no process runs it' };
  const health = bad !== undefined ? 'trouble' : shown.state === 'running' ? 'well' : 'waiting';
  return { health, detail: shown.detail, states: { [shown.state]: own.length } };
}

function groupFigures(rows: GroupRows | undefined, now: number): NodeFigures {
  const all = rows?.tasks ?? [];
  const states: Record<string, number> = {};
  for (const { state } of all) states[state] = (states[state] ?? 0) + 1;
  const tasks = tasksOf(rows);
  const marks = tasks.flatMap(({ watermark }) => watermark ?? []);
  const stores: Record<string, { entries: number; bytes: number }> = {};
  for (const { name, entries, bytes } of tasks.flatMap(({ stores: own = [] }) => own)) {
    const known = stores[name] ?? { entries: 0, bytes: 0 };
    stores[name] = { entries: known.entries + entries, bytes: known.bytes + bytes };
  }
  const failure = tasks.find((task) => task.failure !== undefined)?.failure;
  return {
    lag: sum(all.map(({ lag }) => lag)),
    states,
    stores,
    stateBytes: sum(tasks.map(({ stateBytes = 0 }) => stateBytes)),
    ...(marks.length === 0
      ? {}
      : {
          watermarkAge: { newest: now - Math.max(...marks), oldest: now - Math.min(...marks) },
        }),
    health: healthOf(states),
    ...(failure === undefined ? {} : { detail: `${failure.code}: ${failure.message}` }),
  };
}

function healthOf(states: Readonly<Record<string, number>>): NodeFigures['health'] {
  const has = (...names: readonly string[]) => names.some((name) => (states[name] ?? 0) > 0);
  if (has('failed', 'backoff', 'away', 'fenced')) return 'trouble';
  const isWell = has('running') && !has('unassigned', 'created', 'restoring');
  return isWell ? 'well' : 'waiting';
}
