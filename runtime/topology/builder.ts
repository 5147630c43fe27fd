import { isTopicName, type TopicName } from '../../schemas/topics.ts';
import { passOperator } from '../operators/stateless.ts';
import { structuredSerde } from '../state/contract.ts';
import type { Grouped, StreamOptions, Table, TopologyBuilder } from './api.ts';
import { cut } from './cut.ts';
import type { Edge, Topology } from './graph.ts';
import { GraphBuilder, invalidTopology } from './graph-builder.ts';
import { GroupedNode } from './grouped.ts';
import { type AnySerde, type Make, StreamNode } from './stream.ts';
import { TableNode } from './table.ts';

const make: Make = {
  grouped: (graph, from, key, serde) =>
    new GroupedNode(graph, make, from, key, serde) as unknown as Grouped<never>,
  table: (graph, edge, name, serde) =>
    TableNode.keep(graph, make, edge, { name, serde }) as unknown as Table<never>,
};

const DEFAULTS = { disorderMs: 0, maxAheadMs: 300_000, idleAfterMs: 30_000 };

function source(
  graph: GraphBuilder,
  topic: TopicName,
  options: StreamOptions<TopicName>,
  kind: { readonly tombstones: boolean; readonly bootstrap: boolean },
): Edge {
  if (!isTopicName(topic)) {
    throw invalidTopology(
      `${graph.topology} reads ${JSON.stringify(topic)}, which is no topic of schemas/topics.ts`,
    );
  }
  const { timestamp, disorderMs, maxAheadMs, idleAfterMs } = { ...DEFAULTS, ...options };
  const time = { timestamp, disorderMs, maxAheadMs, idleAfterMs };
  return graph.add({
    name: options.name === undefined ? topic.replaceAll('.', '-') : graph.named(options.name),
    operation: 'source',
    inputs: [],
    source: { kind: 'topic', topic, time: time as never, ...kind },
    operator: passOperator,
  });
}

function builderOf(graph: GraphBuilder): TopologyBuilder {
  const stream = (topic: TopicName, options: StreamOptions<TopicName>, tombstones: boolean) => {
    const edge = source(graph, topic, options, { tombstones, bootstrap: false });
    return new StreamNode(graph, make, { edge, rekeyed: false, serde: undefined });
  };
  const builder = {
    stream: (topic: TopicName, options: StreamOptions<TopicName> = {}) =>
      stream(topic, options, false),
    streamWithTombstones: (topic: TopicName, options: StreamOptions<TopicName> = {}) =>
      stream(topic, options, true),
    table: (topic: TopicName, options: { name?: string; serde?: AnySerde } = {}) => {
      const name = graph.named(options.name ?? `${topic.replaceAll('.', '-')}-table`);
      const kind = { tombstones: true, bootstrap: true };
      const edge = source(graph, topic, { name: `${name}-source` }, kind);
      return TableNode.keep(graph, make, edge, { name, serde: options.serde ?? structuredSerde() });
    },
  };
  return builder as unknown as TopologyBuilder;
}

/**
 * Declares a pipeline.
 * @param name in the names of its groups, topics and transactional ids: it must stay.
 * @throws ReachflowError `TOPOLOGY_INVALID` saying what cannot work, and why.
 */
export function defineTopology(name: string, declare: (t: TopologyBuilder) => void): Topology {
  const graph = new GraphBuilder(name);
  declare(builderOf(graph));
  return cut(name, graph.nodes);
}
