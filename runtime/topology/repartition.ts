import { repartitionOf } from '../../schemas/topics.ts';
import { repartitionOperator } from '../operators/repartition.ts';
import { passOperator } from '../operators/stateless.ts';
import type { Serde } from '../state/contract.ts';
import type { Edge } from './graph.ts';
import type { GraphBuilder } from './graph-builder.ts';

/**
 * Cuts the topology: records go through a topic of the pipeline's own to the task that owns their key. The
 * sub-topology behind it, its group and the topic have the name `name`.
 */
export function repartition(
  graph: GraphBuilder,
  name: string,
  from: Edge,
  serde: Serde<unknown>,
): Edge {
  const topic = repartitionOf(graph.topology, name);
  graph.add({
    name: `${name}.repartition`,
    operation: 'repartition',
    inputs: [from],
    sink: { kind: 'repartition', topic },
    operator: repartitionOperator(topic, serde),
    terminal: true,
    timed: true,
  });
  return graph.add({
    name: `${name}.source`,
    operation: 'source',
    inputs: [],
    source: { kind: 'repartition', topic, serde },
    operator: passOperator,
    timed: true,
  });
}
