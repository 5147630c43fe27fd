import { describe, expect, it } from 'vitest';
import { optionalParts, type TopicName, type TopicSpec, topics } from '../schemas/topics.ts';
import { rollups } from '../sinks/clickhouse/rollups.ts';
import { clickhouseTables } from '../sinks/clickhouse/tables.ts';
import { charts } from './charts.ts';
import { rawQueries } from './raw.ts';

const PARAMETERS = [
  '{tenant:String}',
  '{from:DateTime64(3)}',
  '{to:DateTime64(3)}',
  '{step:UInt32}',
];

/** Tables and roll-ups by name: the topic that they are from. */
const sources = new Map<string, TopicName>([
  ...[...clickhouseTables({ parts: optionalParts })].map(
    ([topic, { name }]) => [name, topic as TopicName] as const,
  ),
  ...rollups.map(({ name, topic }) => [name, topic] as const),
]);

function tablesOf(sql: string): string[] {
  return [...sql.matchAll(/\bFROM (\w+)/g)].map(([, name = '']) => name);
}

describe('charts', () => {
  it('are at least ten, each with an id of its own', () => {
    expect(charts.length).toBeGreaterThanOrEqual(10);
    expect(new Set(charts.map(({ id }) => id)).size).toBe(charts.length);
    for (const { id } of charts) expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });

  it('take no other parameters than those that console and Grafana give, and heed the tenant', () => {
    for (const { id, sql } of charts) {
      for (const [parameter] of sql.matchAll(/\{\w+:[^}]*\}/g)) {
        expect(PARAMETERS, id).toContain(parameter);
      }
      const reads = tablesOf(sql).length;
      expect(sql.split("({tenant:String} = ''").length - 1, id).toBe(reads);
    }
  });

  it('read tables that the sink makes, and name the part without which these are not there', () => {
    for (const { id, sql, part } of charts) {
      for (const table of tablesOf(sql)) {
        const topic = sources.get(table);
        if (topic === undefined) throw new Error(`${id} reads ${table}, which nobody makes`);
        const spec: TopicSpec = topics[topic];
        expect(spec.part, id).toBe(part);
      }
    }
  });

  it('have their questions to the events beside them', () => {
    const ids = charts.map(({ id }) => id);
    for (const id of Object.keys(rawQueries)) expect(ids).toContain(id);
  });
});
