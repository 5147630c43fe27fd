import type { Topology } from '../../runtime/topology/graph.ts';
import { type CompatibilityLevel, type Verdict, verdicts } from '../../schemas/compatibility.ts';
import type { SchemaHistory } from '../../schemas/history.ts';
import { storeOf, type TopicName } from '../../schemas/topics.ts';
import type { StoreEvolution } from '../../sinks/evolution.ts';
import { fieldsOf, type TableModel } from '../../sinks/fields.ts';
import type { SinkEntry } from '../../sinks/registry.ts';
import { type KeptValues, storesOfValues } from './state.ts';

/** How many fields of a mapping are used, of those that the store allows. */
export interface FieldBudget {
  readonly used: number;
  readonly limit: number;
}

/** What changing the schema of a topic means. */
export interface SchemaReport {
  readonly topic: TopicName;
  readonly from: string;
  /** Earlier versions that were compared. */
  readonly versions: number;
  readonly changed: boolean;
  readonly verdicts: readonly Verdict[];
  readonly stores: readonly StoreEvolution[];
  /** Elasticsearch's, where it keeps the topic. */
  readonly budget?: FieldBudget;
  readonly state: {
    readonly readable: boolean;
    /** Stores that hold values of before. */
    readonly kept: readonly KeptValues[];
    /** Fields that those values do not have, or have in another type. */
    readonly fields: readonly string[];
  };
}

/** What a check is done with. */
export interface Preflight {
  readonly pipelines: readonly Topology[];
  readonly sinks: readonly Pick<SinkEntry, 'name' | 'planEvolution' | 'fieldBudget'>[];
}

/** @param current JSON text of the schema as it is to be. @throws ReachflowError `INVALID_SCHEMA`. */
export function checkSchema(
  topic: TopicName,
  current: string,
  { from, versions }: SchemaHistory,
  { pipelines, sinks }: Preflight,
): SchemaReport {
  const last = versions.at(-1);
  const after = modelOf(topic, current);
  const before = last === undefined ? undefined : modelOf(topic, last);
  const kept = storesOfValues(topic, pipelines);
  const fields = last === undefined ? [] : changedFields(last, current);
  const keeping = sinks.filter(({ name }) => after?.spec.stores.some((store) => store === name));
  const budget =
    after === undefined
      ? undefined
      : keeping.find((sink) => sink.fieldBudget)?.fieldBudget?.(after);
  return {
    topic,
    from,
    versions: versions.length,
    changed: last !== undefined && canonical(last) !== canonical(current),
    verdicts: verdicts(current, versions),
    stores:
      after === undefined
        ? []
        : keeping.flatMap(({ planEvolution }) => planEvolution?.(before, after) ?? []),
    ...(budget === undefined ? {} : { budget }),
    state: { readable: kept.length === 0 || fields.length === 0, kept, fields },
  };
}

/** Whether it must not be rolled out: the level is broken, a store cannot follow, or a mapping has no room. */
export function isBroken(report: SchemaReport, level: CompatibilityLevel): boolean {
  const { budget } = report;
  return (
    report.verdicts.some((verdict) => verdict.level === level && !verdict.compatible) ||
    report.stores.some(({ refused }) => refused.length > 0) ||
    (budget !== undefined && budget.used > budget.limit)
  );
}

function modelOf(topic: TopicName, schema: string): TableModel | undefined {
  const spec = storeOf(topic);
  return spec === undefined ? undefined : { topic, spec, fields: fieldsOf(schema) };
}

/** Top-level fields that one of the schemas does not have, or has in another type. */
function changedFields(before: string, after: string): string[] {
  const [old, now] = [typesOf(before), typesOf(after)];
  return [...new Set([...old.keys(), ...now.keys()])].filter(
    (name) => old.get(name) !== now.get(name),
  );
}

function typesOf(schema: string): ReadonlyMap<string, string> {
  const { fields = [] } = JSON.parse(schema) as {
    readonly fields?: readonly { readonly name: string; readonly type: unknown }[];
  };
  return new Map(fields.map(({ name, type }) => [name, JSON.stringify(type)]));
}

function canonical(schema: string): string {
  return JSON.stringify(JSON.parse(schema));
}
