import type { Logger } from 'pino';
import type { StoreName } from '../schemas/stores.ts';
import { type OptionalPart, type TopicName, topicsOf } from '../schemas/topics.ts';
import { type TableModel, tableModel } from './fields.ts';

/** Which tables a sink keeps, and under what names. */
export interface SinkTables {
  /** The optional pipelines that run: their topics are written too. None when absent. */
  readonly parts?: readonly OptionalPart[];
  /** The sink of a replay: only these topics, into tables beside the live ones, with the replay's suffix. */
  readonly shadow?: { readonly suffix: string; readonly topics: readonly TopicName[] };
  /** The suffix of the generation that is live, of topics whose first one is not: docs/adr/0021-replay.md. */
  readonly live?: ReadonlyMap<TopicName, string>;
}

/** What every sink gets besides its section of the configuration. */
export interface SinkDeps extends SinkTables {
  readonly logger: Logger;
}

/** The tables that a sink keeps, with the names that they have in it. */
export function modelsOf(store: StoreName, { parts, shadow, live }: SinkTables): TableModel[] {
  const topics = topicsOf(store, parts);
  if (shadow === undefined) {
    return topics.map((topic) => {
      const suffix = live?.get(topic);
      const model = tableModel(topic);
      return suffix === undefined ? model : { ...model, base: `${model.spec.table}${suffix}` };
    });
  }
  return topics
    .filter((topic) => shadow.topics.includes(topic))
    .map((topic) => shadowModel(tableModel(topic), shadow.suffix));
}

/** The table of a replay beside the live one. */
export function shadowModel(model: TableModel, suffix: string): TableModel {
  return { ...model, spec: { ...model.spec, table: `${model.spec.table}${suffix}` } };
}
