import type { GraphNode, SubTopology, Topology } from '../../runtime/topology/graph.ts';

/** A way of records from one topic to another. */
export interface TopicPath {
  readonly pipeline: string;
  readonly from: string;
  readonly to: string;
  /** Names of the steps, sources and sinks left out. */
  readonly steps: readonly string[];
  /** Those with state, in the sub-topology that reads `from`. */
  readonly stateful: SubTopology | undefined;
}

/** All ways from topic to topic, through repartition topics too; of several between the same two the shortest. */
export function topicPaths(topologies: readonly Topology[]): TopicPath[] {
  return topologies.flatMap((topology) => pathsOf(topology));
}

function pathsOf({ name: pipeline, subTopologies }: Topology): TopicPath[] {
  const nodes = subTopologies.flatMap((sub) => sub.nodes);
  const paths: TopicPath[] = [];
  for (const sub of subTopologies) {
    for (const node of sub.nodes) {
      const from = node.source?.topic;
      if (from === undefined) continue;
      const stateful = sub.stateful ? sub : undefined;
      for (const [to, steps] of walk(nodes, node))
        paths.push({ pipeline, from, to, steps, stateful });
    }
  }
  return paths;
}

/** Topics that a source leads to, breadth first, with the steps on the way. */
function walk(nodes: readonly GraphNode[], source: GraphNode): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const seen = new Set([source.name]);
  let front: { readonly node: GraphNode; readonly steps: readonly string[] }[] = [
    { node: source, steps: [] },
  ];
  while (front.length > 0) {
    const next: typeof front = [];
    for (const { node, steps } of front) {
      const { sink } = node;
      if (sink?.kind === 'topic' && !found.has(sink.topic)) found.set(sink.topic, steps);
      for (const behind of nodes) {
        if (seen.has(behind.name) || !follows(behind, node)) continue;
        seen.add(behind.name);
        const isStep = behind.sink === undefined && behind.source === undefined;
        next.push({ node: behind, steps: isStep ? [...steps, behind.name] : steps });
      }
    }
    front = next;
  }
  return found;
}

function follows(node: GraphNode, before: GraphNode): boolean {
  if (node.inputs.some((edge) => edge.node === before.name)) return true;
  return before.sink?.kind === 'repartition' && node.source?.topic === before.sink.topic;
}
