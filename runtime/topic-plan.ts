import { setTimeout as delay } from 'node:timers/promises';
import {
  changelogOf,
  isActive,
  isTopicName,
  type TopicName,
  topicNames,
  topics,
} from '../schemas/topics.ts';
import { backoffMs } from './backoff.ts';
import { INTERNAL_BYTES, letterTopics } from './delivery/letter-topics.ts';
import type { Sink } from './delivery/sink.ts';
import { ReachflowError } from './errors.ts';
import { ensureTopics, type TopicPlan, topicPartitions } from './kafka/admin.ts';
import type { KafkaClient } from './kafka/client.ts';
import { type SubTopology, sinksOf, sourcesOf, type Topology } from './topology/graph.ts';

/** A consumer of topics, as far as its DLQs go. */
type SinkTopics = Pick<Sink, 'name' | 'topics'>;

/** How often to look for topics that were just made: some seconds. */
const MAX_LOOKS = 12;

/** Those of optional pipelines only where one of these is used. */
function sourceTopics(partitions: number, used: ReadonlySet<string>): TopicPlan[] {
  const names = topicNames.filter((name) => isActive(name, []) || used.has(name));
  return names.map((name) => {
    const { cleanup, retentionMs, maxMessageBytes, ...spec } = topics[name];
    return {
      name,
      cleanup,
      retentionMs,
      maxMessageBytes,
      partitions: partitions || spec.partitions,
    };
  });
}

/**
 * Never expires: a changelog is shortened by its task when it has rewritten what is in it, a repartition topic by its
 * reader when it has read it.
 */
function internal(name: string, partitions: number): TopicPlan {
  const maxMessageBytes = INTERNAL_BYTES;
  return { name, cleanup: 'delete', retentionMs: -1, maxMessageBytes, partitions };
}

function topicsUsed(sub: SubTopology): string[] {
  const tables = sub.nodes.flatMap((node) => node.tables.map(({ topic }) => topic));
  return [...sourcesOf(sub), ...sinksOf(sub)].map(({ topic }) => topic).concat(tables);
}

/** A table is read from its topic's beginning at each start: what retention deleted would look like deleted rows. */
function requireKeptTables({ name, nodes }: SubTopology): void {
  const global = nodes.flatMap(({ tables }) => tables.map(({ topic }) => topic));
  const own = nodes.flatMap(({ source }) =>
    source?.kind === 'topic' && source.bootstrap ? [source.topic] : [],
  );
  for (const topic of [...global, ...own]) {
    if (topics[topic].cleanup === 'compact') continue;
    throw new ReachflowError(`${topic} is used as a table by ${name}, but its records expire`, {
      code: 'TABLE_EXPIRES',
      domain: 'internal',
      hint: "Give it cleanup 'compact' and no retention limit in schemas/topics.ts.",
    });
  }
}

/**
 * Tasks of each sub-topology, and so partitions of the repartition topics that it writes: as many as the widest of its
 * sources has.
 * @param partitionsOf a topic of the map.
 */
export function taskCounts(
  topology: Topology,
  partitionsOf: (topic: TopicName) => number,
): ReadonlyMap<SubTopology, number> {
  const writers = new Map(
    topology.subTopologies.flatMap((sub) => sinksOf(sub).map(({ topic }) => [topic, sub] as const)),
  );
  const counts = new Map<SubTopology, number>();
  const count = (sub: SubTopology): number => {
    const known = counts.get(sub);
    if (known !== undefined) return known;
    const widths = sourcesOf(sub).map((source) => {
      if (source.kind === 'topic') return partitionsOf(source.topic);
      const writer = writers.get(source.topic);
      return writer === undefined ? 0 : count(writer);
    });
    const most = Math.max(...widths);
    counts.set(sub, most);
    return most;
  };
  for (const sub of topology.subTopologies) count(sub);
  return counts;
}

function topologyTopics(
  topology: Topology,
  partitionsOf: (topic: TopicName) => number,
): TopicPlan[] {
  const plans: TopicPlan[] = [];
  const counts = taskCounts(topology, partitionsOf);
  const widths = new Map<string, number>();
  for (const [sub, tasks] of counts) {
    for (const sink of sinksOf(sub)) if (sink.kind === 'repartition') widths.set(sink.topic, tasks);
  }
  for (const [topic, width] of widths) plans.push(internal(topic, width));
  for (const [sub, tasks] of counts) {
    requireKeptTables(sub);
    if (sub.stateful) plans.push(internal(changelogOf(topology.name, sub.name), tasks));
    for (const source of sourcesOf(sub)) {
      const width =
        source.kind === 'topic' ? partitionsOf(source.topic) : (widths.get(source.topic) ?? 1);
      plans.push(...letterTopics(source.topic, topology.name, width));
    }
  }
  return plans;
}

/** The topics that pipelines and sinks read or write, by logical names. */
export function usedTopics(
  topologies: readonly Topology[],
  sinks: readonly SinkTopics[],
): ReadonlySet<string> {
  return new Set([
    ...topologies.flatMap(({ subTopologies }) => subTopologies.flatMap(topicsUsed)),
    ...sinks.flatMap((sink) => sink.topics),
  ]);
}

/**
 * Every topic that pipelines and sinks need: the map's own, changelogs and repartition topics, a DLQ per consumer, a retry topic per sink.
 * @param partitions of each topic; 0 takes the production figures of the map.
 */
export function planTopics(
  topologies: readonly Topology[],
  sinks: readonly SinkTopics[],
  partitions: number,
): TopicPlan[] {
  const partitionsOf = (name: TopicName) =>
    partitions === 0 ? topics[name].partitions : partitions;
  const plans = sourceTopics(partitions, usedTopics(topologies, sinks));
  for (const topology of topologies) plans.push(...topologyTopics(topology, partitionsOf));
  for (const sink of sinks) {
    for (const topic of sink.topics) {
      if (!isTopicName(topic)) continue;
      const width = partitionsOf(topic);
      plans.push(...letterTopics(topic, sink.name, width));
    }
  }
  const byName = new Map(plans.map((plan) => [plan.name, plan]));
  return [...byName.values()];
}

/**
 * Creates what is missing, then checks that what exists can be used as planned.
 * @returns partitions of every topic of the namespace, by logical name.
 * @throws ReachflowError `TOPIC_PARTITIONS` when the partitions of two topics do not fit each other.
 */
export async function applyTopicPlan(
  client: KafkaClient,
  topologies: readonly Topology[],
  plans: readonly TopicPlan[],
): Promise<ReadonlyMap<string, number>> {
  await ensureTopics(client, plans);
  const actual = await whenThere(client, plans);
  for (const topology of topologies) checkPartitions(topology, actual);
  return actual;
}

/** A broker may not know yet what the controller has just made, for us or for a worker that starts beside us. */
async function whenThere(
  client: KafkaClient,
  plans: readonly TopicPlan[],
): Promise<ReadonlyMap<string, number>> {
  for (let attempt = 1; ; attempt += 1) {
    const actual = await topicPartitions(client);
    const missing = plans.filter(({ name }) => !actual.has(name));
    if (missing.length === 0 || attempt === MAX_LOOKS) return actual;
    await delay(backoffMs(attempt, { initialMs: 50, maxMs: 1_000 }));
  }
}

function checkPartitions(topology: Topology, actual: ReadonlyMap<string, number>): void {
  const expected = topologyTopics(topology, (topic) => actual.get(topic) ?? 0);
  for (const { name, partitions } of expected) {
    if (actual.get(name) === partitions) continue;
    throw wrongPartitions(
      `${name} has ${actual.get(name)} partitions, but what it follows has ${partitions}`,
    );
  }
  for (const { copartitioned } of topology.subTopologies) {
    for (const joined of copartitioned) {
      const widths = joined.map((topic) => `${topic} has ${actual.get(topic)}`);
      if (new Set(joined.map((topic) => actual.get(topic))).size <= 1) continue;
      throw wrongPartitions(
        `${topology.name} joins topics whose partitions differ: ${widths.join(', ')}`,
      );
    }
  }
}

function wrongPartitions(message: string): ReachflowError {
  return new ReachflowError(message, {
    code: 'TOPIC_PARTITIONS',
    domain: 'user',
    hint: 'Partitions of an input cannot be changed under a stateful pipeline: replay it into a new namespace.',
  });
}
