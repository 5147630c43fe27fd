import dagre from '@dagrejs/dagre';
import {
  groupOf,
  type SubTopology,
  sinksOf,
  sourcesOf,
  type Topology,
} from '../../runtime/topology/graph.ts';

/** What an installation consists of. */
export interface Parts {
  readonly connectors: readonly { readonly name: string; readonly topics: readonly string[] }[];
  readonly pipelines: readonly Topology[];
  readonly sinks: readonly { readonly name: string; readonly topics: readonly string[] }[];
}

/** `task`: a sub-topology, by its group. */
export type NodeKind = 'connector' | 'topic' | 'task' | 'sink';

/** A box; x and y are of its middle. */
export interface PlacedNode {
  /** `<kind>:<name>`; of a task the name is that of its group. */
  readonly id: string;
  readonly kind: NodeKind;
  readonly title: string;
  readonly subtitle: string;
  /** Names, of a task. */
  readonly stores: readonly string[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface PlacedEdge {
  readonly from: string;
  readonly to: string;
  /** Of a table that a task holds whole, beside the stream. */
  readonly isTable: boolean;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface PlacedGraph {
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
}

type Node = Omit<PlacedNode, 'x' | 'y' | 'width' | 'height'>;
type Edge = Omit<PlacedEdge, 'points'>;

const SIZES: Readonly<Record<NodeKind, { readonly width: number; readonly height: number }>> = {
  connector: { width: 150, height: 52 },
  topic: { width: 206, height: 46 },
  task: { width: 268, height: 92 },
  sink: { width: 176, height: 92 },
};
const STORE_HEIGHT = 20;
/** Stores that a box has room for; with more, one line less says how many there are. */
const STORES_SHOWN = 4;
const SPACING = { nodesep: 18, ranksep: 56, edgesep: 12, marginx: 12, marginy: 12 };

/** Connectors, topics, sub-topologies and sinks of an installation, laid out from left to right in layers. */
export function placedGraph(parts: Parts): PlacedGraph {
  const { nodes, edges } = graphOf(parts);
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', ranker: 'network-simplex', ...SPACING });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, kind, stores } of nodes) {
    const { width, height } = SIZES[kind];
    graph.setNode(id, {
      width,
      height: height + Math.min(stores.length, STORES_SHOWN) * STORE_HEIGHT,
    });
  }
  for (const { from, to } of edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    width,
    height,
    nodes: nodes.map((node) => {
      const placed = graph.node(node.id) as Omit<PlacedNode, keyof Node>;
      const { x, y } = placed;
      return { ...node, x, y, width: placed.width, height: placed.height };
    }),
    edges: edges.map((edge) => {
      const { points } = graph.edge(edge.from, edge.to) as Pick<PlacedEdge, 'points'>;
      return { ...edge, points: points.map(({ x, y }) => ({ x, y })) };
    }),
  };
}

function graphOf({ connectors, pipelines, sinks }: Parts): { nodes: Node[]; edges: Edge[] } {
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Edge>();
  const add = (kind: NodeKind, name: string, more: Partial<Node> = {}): string => {
    const id = `${kind}:${name}`;
    if (!nodes.has(id)) {
      nodes.set(id, { id, kind, title: name, subtitle: '', stores: [], ...more });
    }
    return id;
  };
  const connect = (from: string, to: string, isTable = false): void => {
    const key = `${from} ${to}`;
    // A topic that a task also reads as a stream is drawn as one.
    if (!edges.has(key) || !isTable) edges.set(key, { from, to, isTable });
  };
  for (const { name, topics } of connectors) {
    for (const topic of topics) connect(add('connector', name), add('topic', topic));
  }
  for (const topology of pipelines) {
    for (const sub of topology.subTopologies) {
      const task = add('task', groupOf(topology.name, sub.name), describe(topology, sub));
      for (const { topic } of sourcesOf(sub)) connect(add('topic', topic), task);
      for (const topic of tablesOf(sub)) connect(add('topic', topic), task, true);
      for (const { topic } of sinksOf(sub)) connect(task, add('topic', topic));
    }
  }
  for (const { name, topics } of sinks) {
    for (const topic of topics) connect(add('topic', topic), add('sink', name));
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

function tablesOf({ nodes }: SubTopology): string[] {
  return nodes.flatMap(({ tables }) => tables.map(({ topic }) => topic));
}

function describe({ name, subTopologies }: Topology, sub: SubTopology): Partial<Node> {
  const stores = sub.nodes.flatMap((node) => node.stores.map((store) => store.name));
  return { title: name, subtitle: subTopologies.length > 1 ? sub.name : '', stores };
}
