import { retryOf, type TopicName } from '../../schemas/topics.ts';
import type { TableSpec } from '../state/broadcast-table.ts';
import type { Serde, StoreSpec } from '../state/contract.ts';
import type { OperatorFactory } from './operator.ts';

/** How the event time of a topic's records is found, and how its watermark follows. */
export interface SourceTime {
  /** Event time of a value, ms; where it is no finite number, the Kafka record's timestamp. */
  readonly timestamp?: ((value: never, recordTimestamp: number) => number) | undefined;
  /** How far back in time a record may follow a newer one, ms: the watermark stays this much behind the newest. */
  readonly disorderMs: number;
  /** How far ahead of the Kafka timestamp an event time may move the watermark, ms: one wrong clock closes no windows. */
  readonly maxAheadMs: number;
  /** A channel that is read to its end and silent for so long does not hold the watermark back, ms. */
  readonly idleAfterMs: number;
}

/** Reads a topic of the map. */
export interface TopicSource {
  readonly kind: 'topic';
  readonly topic: TopicName;
  readonly time: SourceTime;
  /** True when records without a value are wanted, too. */
  readonly tombstones: boolean;
  /** Read to its end before any stream of its task begins. */
  readonly bootstrap: boolean;
}

/** Reads what a `RepartitionSink` of the same pipeline writes. */
export interface RepartitionSource {
  readonly kind: 'repartition';
  /** Logical name of the topic. */
  readonly topic: string;
  readonly serde: Serde<unknown>;
}

export type Source = TopicSource | RepartitionSource;

/** What a node writes to, if it does. */
export type Sink =
  | { readonly kind: 'topic'; readonly topic: TopicName }
  | { readonly kind: 'repartition'; readonly topic: string };

/** Where a node gets records from: an output of another. */
export interface Edge {
  readonly node: string;
  /** '' is the main output. */
  readonly output: string;
}

/** A step of a topology. Its name is in metrics, stores, DLQ headers and errors: it must stay. */
export interface GraphNode {
  readonly name: string;
  /** What it does, for people: `filter`, `dedup`, `window count` … */
  readonly operation: string;
  readonly inputs: readonly Edge[];
  /** Named outputs beside the main one; those that must be connected, and those that may be. */
  readonly outputs: readonly { readonly name: string; readonly required: boolean }[];
  readonly source?: Source;
  readonly sink?: Sink;
  readonly stores: readonly StoreSpec<unknown>[];
  readonly tables: readonly TableSpec<TopicName, unknown>[];
  /** Records that only end here on purpose need nothing behind this node. */
  readonly terminal: boolean;
  /** Needs the watermark to survive a restart: windows, timers, repartitioning. */
  readonly timed: boolean;
  /** Has work under way that the epoch's end waits for. */
  readonly async: boolean;
  /** Inputs whose sources must have the same number of partitions and the same keys: joins. */
  readonly copartitioned: boolean;
  readonly operator: OperatorFactory;
}

/** Nodes that run together in one task per partition. */
export interface SubTopology {
  /** In the names of its group, transactional ids and changelog: that of its first source. */
  readonly name: string;
  /** In topological order: a node comes after all it gets records from. */
  readonly nodes: readonly GraphNode[];
  /** It has a changelog: stores, or a watermark that must survive a restart. */
  readonly stateful: boolean;
  /** Topics that are joined, and so must have as many partitions as each other. */
  readonly copartitioned: readonly (readonly string[])[];
}

/** A validated pipeline. */
export interface Topology {
  /** In the names of groups, changelogs, transactional ids and DLQs: it must stay. */
  readonly name: string;
  readonly subTopologies: readonly SubTopology[];
}

/** The sources of a sub-topology. */
export function sourcesOf({ nodes }: Pick<SubTopology, 'nodes'>): Source[] {
  return nodes.flatMap(({ source }) => (source === undefined ? [] : [source]));
}

/** A topic that the group of a sub-topology reads. */
export interface Input {
  /** Logical name. */
  readonly topic: string;
  readonly source: Source;
  /** Records of the source that come again out of its DLQ. */
  readonly redriven: boolean;
}

/** What a sub-topology's group reads: its sources, and beside each the retry topic that redrive writes to. */
export function inputsOf(pipeline: string, sub: Pick<SubTopology, 'nodes'>): Input[] {
  return sourcesOf(sub).flatMap((source) => [
    { topic: source.topic, source, redriven: false },
    { topic: retryOf(source.topic, pipeline), source, redriven: true },
  ]);
}

/** The sinks of a sub-topology. */
export function sinksOf({ nodes }: Pick<SubTopology, 'nodes'>): Sink[] {
  return nodes.flatMap(({ sink }) => (sink === undefined ? [] : [sink]));
}

/** Consumer group of a sub-topology, without the namespace. */
export function groupOf(topology: string, subTopology: string): string {
  return `${topology}.${subTopology}`;
}
