import type { Logger } from 'pino';
import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { createKafkaClient, type GenerationOf, type KafkaClient } from '../runtime/kafka/client.ts';
import type { KafkaConfig } from '../runtime/kafka/config.ts';
import type { WatchedGroup } from '../runtime/kafka/stats.ts';
import type { Topology } from '../runtime/topology/graph.ts';
import type { StoreName } from '../schemas/stores.ts';
import { type OptionalPart, retryOf, storeOf, type TopicName } from '../schemas/topics.ts';
import { modelsOf, shadowModel } from '../sinks/deps.ts';
import { type TableModel, tableModel } from '../sinks/fields.ts';
import { type SinkConfigs, sinks } from '../sinks/registry.ts';
import type { ShadowStore } from '../sinks/shadow.ts';
import type { ControlState } from './control.ts';
import type { Replay } from './journal.ts';
import {
  groupsOf,
  liveGenerationOf,
  outputsOf,
  replayGenerationOf,
  suffixOf,
} from './ownership.ts';

/** The sections that a replay depends on. */
export interface ReplayConfig extends SinkConfigs {
  readonly kafka: KafkaConfig;
  readonly pipelines: { readonly optional: readonly OptionalPart[] };
}

/** Of the product: what may run at all, and where. */
export interface ReplayHome {
  readonly config: ReplayConfig;
  readonly logger: Logger;
  readonly catalog: readonly Topology[];
  /** Those that the configuration has run. */
  readonly active: readonly Topology[];
}

/** A store, with the tables of a pipeline's outputs in it. */
export interface StoreTables {
  readonly shadow: ShadowStore;
  readonly live: readonly TableModel[];
  readonly shadows: readonly TableModel[];
}

/** The names of a replay and of what it may take the place of. */
export interface Scene {
  readonly topology: Topology;
  readonly outputs: readonly TopicName[];
  /** Names of the generation that is live now. */
  readonly live: KafkaClient;
  /** Names of the replay's processes. */
  readonly shadow: KafkaClient;
  /** Which generation its names are of. */
  readonly generationOf: GenerationOf;
  /** Names of the live processes, were the replay live; or were the one before it. */
  readonly withShadow: KafkaClient;
  readonly withPrevious: KafkaClient;
  /** Groups of the pipeline's tasks and of the sinks of its outputs, for lag. */
  readonly groups: readonly WatchedGroup[];
  /** Stores that keep its outputs. */
  readonly stores: readonly string[];
}

/** @throws ReachflowError `UNKNOWN_PIPELINE`. */
export function pipelineNamed(catalog: readonly Topology[], name: string): Topology {
  const found = catalog.find((topology) => topology.name === name);
  if (found !== undefined) return found;
  throw new ReachflowError(`there is no pipeline ${name}`, {
    code: 'UNKNOWN_PIPELINE',
    domain: 'user',
    hint: `The pipelines are: ${catalog.map((topology) => topology.name).join(', ')}.`,
  });
}

/** Stores that keep one of the topics. */
function storesOf(outputs: readonly TopicName[]): string[] {
  const names = sinks.map(({ name }) => name);
  return names.filter((name) =>
    outputs.some((topic) => storeOf(topic)?.stores.some((store) => store === name)),
  );
}

/** @throws ReachflowError `UNKNOWN_PIPELINE`. */
export function sceneOf(
  { config, logger, catalog }: ReplayHome,
  state: ControlState,
  { name, pipeline, previous }: Pick<Replay, 'name' | 'pipeline' | 'previous'>,
): Scene {
  const topology = pipelineNamed(catalog, pipeline);
  const outputs = outputsOf(topology);
  const now = state.live();
  const client = (live: ReadonlyMap<string, string>) =>
    createKafkaClient(config.kafka, logger, liveGenerationOf(catalog, live));
  const before = new Map(now);
  const after = new Map(now).set(pipeline, name);
  const older = previous === undefined ? (now.get(pipeline) ?? null) : previous;
  if (older === null) before.delete(pipeline);
  else before.set(pipeline, older);
  const stores = storesOf(outputs);
  const generationOf = replayGenerationOf(topology, name, liveGenerationOf(catalog, now));
  return {
    topology,
    outputs,
    live: client(now),
    shadow: createKafkaClient(config.kafka, logger, generationOf),
    generationOf,
    withShadow: client(after),
    withPrevious: client(before),
    groups: [
      ...groupsOf(topology).map(({ group, sources }) => ({ group, topics: sources })),
      ...stores.map((store) => ({ group: sinkGroup(store), topics: keptBy(store, outputs) })),
    ],
    stores,
  };
}

/** The outputs that a store keeps. */
export function keptBy(store: string, outputs: readonly TopicName[]): TopicName[] {
  return outputs.filter((topic) => storeOf(topic)?.stores.some((one) => one === store));
}

/** What a sink's group reads of some outputs: with those that it could not write yet. */
export function sinkInputs(store: string, outputs: readonly TopicName[]): string[] {
  return keptBy(store, outputs).flatMap((topic) => [topic, retryOf(topic, store)]);
}

/** The stores of a scene, open until they are closed. */
export function openStores(
  { config }: ReplayHome,
  { outputs, stores, topology }: Scene,
  { name, previous }: Pick<Replay, 'name' | 'previous'>,
  state: ControlState,
): Map<string, StoreTables> {
  const older = previous === undefined ? state.live().get(topology.name) : (previous ?? undefined);
  const bases = new Map(
    older === undefined ? [] : outputs.map((topic) => [topic, suffixOf(older)] as const),
  );
  const parts = config.pipelines.optional;
  return new Map(
    sinks.flatMap((entry) => {
      if (!stores.includes(entry.name)) return [];
      const store = entry.name as StoreName;
      const kept = keptBy(store, outputs);
      const live = modelsOf(store, { parts, live: bases }).filter(({ topic }) =>
        kept.some((one) => one === topic),
      );
      const shadows = live.map(({ topic }) =>
        shadowModel(tableModel(topic as TopicName), suffixOf(name)),
      );
      const shadow = entry.createShadow(config, () => live);
      return [[entry.name, { shadow, live, shadows }] as const];
    }),
  );
}
