import type { GenerationOf } from '../runtime/kafka/client.ts';
import { groupOf, inputsOf, sinksOf, sourcesOf, type Topology } from '../runtime/topology/graph.ts';
import { isTopicName, type TopicName } from '../schemas/topics.ts';

/** What the tables of replay `fix` end with. */
export function suffixOf(generation: string): string {
  return `__r_${generation}`;
}

/** The topics that a pipeline writes for others to read. */
export function outputsOf({ subTopologies }: Topology): TopicName[] {
  const sinks = subTopologies.flatMap(sinksOf);
  return [...new Set(sinks.flatMap((sink) => (sink.kind === 'topic' ? [sink.topic] : [])))];
}

/** The topics that a pipeline reads and does not write itself: its sources and tables. */
export function inputTopicsOf({ subTopologies }: Topology): TopicName[] {
  const tables = subTopologies.flatMap(({ nodes }) =>
    nodes.flatMap((node) => node.tables.map(({ topic }) => topic)),
  );
  return [...new Set([...sourceTopicsOf(subTopologies), ...tables])];
}

function sourceTopicsOf(subTopologies: Topology['subTopologies']): TopicName[] {
  return subTopologies
    .flatMap(sourcesOf)
    .flatMap((source) => (source.kind === 'topic' ? [source.topic] : []));
}

/** The groups of a pipeline's tasks, with all that they read. */
export function groupsOf({ name, subTopologies }: Topology) {
  return subTopologies.map((sub) => ({
    group: groupOf(name, sub.name),
    topics: inputsOf(name, sub).map(({ topic }) => topic),
    sources: sourceTopicsOf([sub]),
  }));
}

/**
 * Whether a name is of a pipeline's generation: its outputs and what sinks could not write of them, its groups,
 * transactional ids, changelogs, repartition topics, and the dead letters and redriven records of its inputs.
 */
export function ownedBy(topology: Topology): (name: string) => boolean {
  const { name: pipeline } = topology;
  const outputs = outputsOf(topology);
  return (name) => {
    if (isTopicName(name)) return outputs.includes(name);
    if (name.startsWith(`${pipeline}.`)) return true;
    const isLetters = name.endsWith('.dlq') || name.endsWith('.retry');
    if (!isLetters) return false;
    if (name.endsWith(`.${pipeline}.dlq`) || name.endsWith(`.${pipeline}.retry`)) return true;
    return outputs.some((output) => name.startsWith(`${output}.`));
  };
}

/** Which generation of a pipeline is live, by pipeline; those that are not named are in their first. */
export type LiveGenerations = ReadonlyMap<string, string>;

/** The names of a process that runs what is live. */
export function liveGenerationOf(
  pipelines: readonly Topology[],
  live: LiveGenerations,
): GenerationOf {
  const owners = pipelines.flatMap((topology) => {
    const generation = live.get(topology.name);
    return generation === undefined ? [] : [{ generation, owns: ownedBy(topology) }];
  });
  return (name) => owners.find(({ owns }) => owns(name))?.generation;
}

/** The names of a replay's own processes: all are its own, but the inputs, which are the live ones. */
export function replayGenerationOf(
  topology: Topology,
  generation: string,
  live: GenerationOf,
): GenerationOf {
  const inputs = new Set<string>(inputTopicsOf(topology));
  return (name) => (inputs.has(name) ? live(name) : generation);
}
