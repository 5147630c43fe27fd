import { topics } from '../../schemas/topics.ts';
import type { GraphNode, SubTopology, Topology } from './graph.ts';
import { sinksOf, sourcesOf } from './graph.ts';
import { invalidTopology } from './graph-builder.ts';

/**
 * Makes a validated topology of nodes, each after the ones that it gets records from. Nodes that are connected run
 * together; repartition topics are where it is cut.
 * @throws ReachflowError `TOPOLOGY_INVALID` naming the step and what to do.
 */
export function cut(name: string, nodes: readonly GraphNode[]): Topology {
  if (nodes.length === 0) throw invalidTopology(`the topology ${name} has no steps`);
  checkOutputs(name, nodes);
  const subTopologies = components(nodes).map((members) => subTopology(name, members));
  checkNames(name, subTopologies);
  const topology = { name, subTopologies };
  checkCycles(topology);
  return topology;
}

function checkOutputs(topology: string, nodes: readonly GraphNode[]): void {
  const connected = new Set(
    nodes.flatMap(({ inputs }) => inputs.map(({ node, output }) => `${node}/${output}`)),
  );
  for (const node of nodes) {
    for (const { name, required } of node.outputs) {
      if (!required || connected.has(`${node.name}/${name}`)) continue;
      throw invalidTopology(
        `the output ${name} of ${topology}.${node.name} leads nowhere: its records would be lost`,
        'Write it .to(topic), or say .ignore(why).',
      );
    }
    const usesOutputs = node.outputs.some(({ name }) => connected.has(`${node.name}/${name}`));
    const goesOn = connected.has(`${node.name}/`) || (usesOutputs && node.operation === 'process');
    if (goesOn || node.terminal) continue;
    throw invalidTopology(
      `${topology}.${node.name} (${node.operation}) leads nowhere: its records would be lost`,
      'Write them .to(topic), or say .ignore(why).',
    );
  }
}

/** Connected nodes, in the order in which they were declared. */
function components(nodes: readonly GraphNode[]): GraphNode[][] {
  const groupOf = new Map<string, Set<GraphNode>>();
  for (const node of nodes) {
    const merged = new Set<GraphNode>();
    for (const { node: from } of node.inputs) {
      for (const member of groupOf.get(from) ?? []) merged.add(member);
    }
    merged.add(node);
    for (const member of merged) groupOf.set(member.name, merged);
  }
  const groups = [...new Set(groupOf.values())];
  const position = new Map(nodes.map((node, i) => [node.name, i]));
  const order = (node: GraphNode | undefined) => position.get(node?.name ?? '') ?? 0;
  return groups
    .map((group) => [...group].sort((a, b) => order(a) - order(b)))
    .sort((a, b) => order(a[0]) - order(b[0]));
}

function subTopology(topology: string, nodes: readonly GraphNode[]): SubTopology {
  // By its first stream: a table that is declared before it does not rename groups and changelogs.
  const sources = nodes.filter(({ source }) => source !== undefined);
  const streams = sources.filter(({ source }) => source?.kind !== 'topic' || !source.bootstrap);
  const first = streams[0] ?? sources[0];
  if (first === undefined) throw invalidTopology(`${topology} has steps without a source`);
  const name = first.name.replace(/\.source$/, '');
  const seen = new Set<string>();
  for (const { topic } of sourcesOf({ nodes })) {
    if (seen.has(topic)) {
      throw invalidTopology(
        `${topology}.${name} reads ${topic} twice`,
        'Use the same stream twice instead: a stream may have several steps behind it.',
      );
    }
    seen.add(topic);
  }
  for (const { sink } of nodes) {
    if (sink?.kind === 'topic' && topics[sink.topic].schemaOwner !== 'reachflow') {
      throw invalidTopology(`${topology} writes ${sink.topic}, which belongs to Debezium`);
    }
  }
  checkStores(topology, name, nodes);
  return {
    name,
    nodes,
    stateful: nodes.some(({ stores, timed }) => stores.length > 0 || timed),
    copartitioned: nodes
      .filter(({ copartitioned }) => copartitioned)
      .map((node) => joinedTopics(topology, node, nodes)),
  };
}

/** A store is its name, in the changelog and in files: two of a name would be one. */
function checkStores(topology: string, sub: string, nodes: readonly GraphNode[]): void {
  const specs = new Map<string, unknown>();
  for (const spec of nodes.flatMap(({ stores }) => stores)) {
    const known = specs.get(spec.name);
    if (known !== undefined && known !== spec) {
      throw invalidTopology(
        `${topology}.${sub} has two stores named ${spec.name}`,
        'Give one of them another name, or declare the same store in both steps to share it.',
      );
    }
    specs.set(spec.name, spec);
  }
}

/** The topics that a join reads, after checking that the same key has the same bytes in all of them. */
function joinedTopics(
  topology: string,
  join: GraphNode,
  nodes: readonly GraphNode[],
): readonly string[] {
  const sources = reaching(join, nodes).flatMap(({ source }) =>
    source === undefined ? [] : [source],
  );
  const formats = new Map<string, string>();
  for (const source of sources) {
    const format = source.kind === 'topic' ? topics[source.topic].keyFormat : 'string';
    formats.set(format, source.topic);
  }
  if (formats.size > 1) {
    const uses = [...formats].map(([format, topic]) => `${topic} has ${format} keys`).join(', ');
    throw invalidTopology(
      `${topology}.${join.name} joins topics whose keys are not the same bytes: ${uses}`,
      'Equal keys would be on different partitions. Use selectKey on one side: it is then repartitioned.',
    );
  }
  return sources.map(({ topic }) => topic);
}

function reaching(node: GraphNode, nodes: readonly GraphNode[]): GraphNode[] {
  const byName = new Map(nodes.map((other) => [other.name, other]));
  const found = new Set<GraphNode>();
  const visit = (current: GraphNode): void => {
    if (found.has(current)) return;
    found.add(current);
    for (const { node: from } of current.inputs) {
      const upstream = byName.get(from);
      if (upstream !== undefined) visit(upstream);
    }
  };
  visit(node);
  return [...found];
}

function checkNames(topology: string, subTopologies: readonly SubTopology[]): void {
  const seen = new Set<string>();
  for (const { name } of subTopologies) {
    if (seen.has(name)) {
      throw invalidTopology(
        `${topology} has two sub-topologies named ${name}`,
        'A source and an aggregate have the same name: give one of them another.',
      );
    }
    seen.add(name);
  }
}

/** A record must not come back to where it was: topics included. */
function checkCycles({ name, subTopologies }: Topology): void {
  const readers = new Map<string, SubTopology[]>();
  for (const sub of subTopologies) {
    for (const { topic } of sourcesOf(sub)) {
      readers.set(topic, [...(readers.get(topic) ?? []), sub]);
    }
  }
  const done = new Set<SubTopology>();
  const visit = (sub: SubTopology, path: readonly string[]): void => {
    if (path.includes(sub.name)) {
      const cycle = [...path.slice(path.indexOf(sub.name)), sub.name].join(' → ');
      throw invalidTopology(
        `${name} feeds itself: ${cycle}`,
        'A topic that it writes is one that it reads: records would go round for ever.',
      );
    }
    if (done.has(sub)) return;
    for (const { topic } of sinksOf(sub)) {
      for (const next of readers.get(topic) ?? []) visit(next, [...path, sub.name]);
    }
    done.add(sub);
  };
  for (const sub of subTopologies) visit(sub, []);
}
