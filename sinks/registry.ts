import type { Sink } from '../runtime/delivery/sink.ts';
import { alertActions, createAlertSink } from './alerts/actions.ts';
import { type AlertsConfig, alertsConfigSchema } from './alerts/config.ts';
import { type ClickhouseConfig, clickhouseConfigSchema } from './clickhouse/config.ts';
import { planEvolution as planClickhouse } from './clickhouse/evolution.ts';
import { createClickhouseShadow } from './clickhouse/shadow.ts';
import { createClickhouseSink } from './clickhouse/sink.ts';
import type { SinkDeps } from './deps.ts';
import { type ElasticsearchConfig, elasticsearchConfigSchema } from './elasticsearch/config.ts';
import { fieldBudget, planEvolution as planElasticsearch } from './elasticsearch/evolution.ts';
import { createElasticsearchShadow } from './elasticsearch/shadow.ts';
import { createElasticsearchSink } from './elasticsearch/sink.ts';
import type { PlanEvolution } from './evolution.ts';
import type { TableModel } from './fields.ts';
import { type PostgresConfig, postgresConfigSchema } from './postgres/config.ts';
import { planEvolution as planPostgres } from './postgres/evolution.ts';
import { createPostgresShadow } from './postgres/shadow.ts';
import { createPostgresSink } from './postgres/sink.ts';
import type { ShadowStore } from './shadow.ts';

/** The sections of the configuration that sinks read, by section name. */
export const sinkConfigSections = {
  postgres: postgresConfigSchema,
  clickhouse: clickhouseConfigSchema,
  elasticsearch: elasticsearchConfigSchema,
  alerts: alertsConfigSchema,
} as const;

/** Those sections, parsed. The root configuration is one. */
export interface SinkConfigs {
  readonly postgres: PostgresConfig;
  readonly clickhouse: ClickhouseConfig;
  readonly elasticsearch: ElasticsearchConfig;
  readonly alerts: AlertsConfig;
}

/** A store that Reachflow knows. */
export interface SinkEntry {
  /** The same as the sink's own `name`. */
  readonly name: string;
  /** Makes the sink from its section. Connects only when opened. */
  readonly createSink: (config: SinkConfigs, deps: SinkDeps) => Sink;
  /** Its store as a replay sees it. @param models what is behind the names that readers use. */
  readonly createShadow: (config: SinkConfigs, models: () => readonly TableModel[]) => ShadowStore;
  /** What its store has to do under another schema: `evolution.ts` of the sink. */
  readonly planEvolution?: PlanEvolution;
  /** Fields of the store's mapping of a topic, where it allows only so many. */
  readonly fieldBudget?: (model: TableModel) => { readonly used: number; readonly limit: number };
}

/** All stores. A new one gets a line here and one above. */
export const sinks: readonly SinkEntry[] = [
  {
    name: 'postgres',
    createSink: (config, deps) => createPostgresSink(config.postgres, deps),
    createShadow: (config) => createPostgresShadow(config.postgres),
    planEvolution: planPostgres,
  },
  {
    name: 'clickhouse',
    createSink: (config, deps) => createClickhouseSink(config.clickhouse, deps),
    createShadow: (config) => createClickhouseShadow(config.clickhouse),
    planEvolution: planClickhouse,
  },
  {
    name: 'elasticsearch',
    createSink: (config, deps) => createElasticsearchSink(config.elasticsearch, deps),
    createShadow: (config, models) => createElasticsearchShadow(config.elasticsearch, models),
    planEvolution: planElasticsearch,
    fieldBudget,
  },
];

/** Names of all sinks: the stores, and what is done with alerts. */
export const sinkNames: readonly string[] = [...sinks, ...alertActions].map(({ name }) => name);

/**
 * The sinks of a configuration: all stores, and the actions that it names for alerts.
 * @param isWanted by name; all by default.
 */
export function createSinks(
  config: SinkConfigs,
  deps: SinkDeps,
  isWanted: (name: string) => boolean = () => true,
): Sink[] {
  const stores = sinks
    .filter(({ name }) => isWanted(name))
    .map(({ createSink }) => createSink(config, deps));
  const actions = alertActions
    .filter(({ name }) => isWanted(name))
    .flatMap((action) => createAlertSink(action, config.alerts.actions, deps) ?? []);
  return [...stores, ...actions];
}
