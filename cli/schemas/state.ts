import type { Topology } from '../../runtime/topology/graph.ts';
import type { TopicName } from '../../schemas/topics.ts';

/** Steps that hand on the very value that they get. */
const HAND_ON: readonly string[] = ['source', 'filter', 'merge', 'dedup', 'branch', 'select key'];
/** Steps that keep values as they are. */
const KEEP: readonly string[] = ['table', 'stream join', 'table join', 'process'];

/** A store that has values of a topic as they were decoded when they came. */
export interface KeptValues {
  readonly pipeline: string;
  readonly step: string;
  readonly store: string;
}

/**
 * Stores behind a topic that may hold its values as they were read: a value that was stored before a change of the
 * schema comes back in the old shape, without the defaults of new fields. Steps of one's own (`process`) decide
 * themselves what they store, and are named to be looked at.
 */
export function storesOfValues(topic: TopicName, topologies: readonly Topology[]): KeptValues[] {
  return topologies.flatMap(({ name: pipeline, subTopologies }) =>
    subTopologies.flatMap(({ nodes }) => {
      const carrying = new Set<string>();
      const kept: KeptValues[] = [];
      for (const { name, operation, source, inputs, stores } of nodes) {
        const isSource = source?.kind === 'topic' && source.topic === topic;
        const isReached = isSource || inputs.some(({ node }) => carrying.has(node));
        if (!isReached) continue;
        if (isSource || HAND_ON.includes(operation)) carrying.add(name);
        if (!KEEP.includes(operation)) continue;
        for (const store of stores) kept.push({ pipeline, step: name, store: store.name });
      }
      return kept;
    }),
  );
}
