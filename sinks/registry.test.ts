import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { SinkRecord } from '../runtime/delivery/sink.ts';
import { isTopicName } from '../schemas/topics.ts';
import { contactRecord } from './fixtures.ts';
import { sinkConfigSections, sinks } from './registry.ts';

const configs = {
  postgres: sinkConfigSections.postgres.parse({}),
  clickhouse: sinkConfigSections.clickhouse.parse({}),
  elasticsearch: sinkConfigSections.elasticsearch.parse({}),
  alerts: sinkConfigSections.alerts.parse({}),
};

describe('sink registry', () => {
  it('makes every sink from defaults, without connecting, under its own name', async () => {
    for (const { name, createSink } of sinks) {
      const sink = createSink(configs, { logger: pino({ level: 'silent' }) });
      expect(sink.name).toBe(name);
      expect(sink.limits.records).toBeGreaterThan(0);
      expect(sink.topics.length).toBeGreaterThan(0);
      expect(sink.topics.filter((topic) => !isTopicName(topic))).toEqual([]);
      await sink.close();
    }
    expect(new Set(sinks.map(({ name }) => name)).size).toBe(sinks.length);
  });

  it('says before it is opened which records a sink would refuse', async () => {
    const good = contactRecord('1', 1n);
    const bad: Readonly<Record<string, SinkRecord>> = {
      'a key that is not the id': { ...good, key: '2' },
      'a field that is missing': contactRecord('1', 1n, { tenant_id: null as unknown as string }),
      'text that no store keeps': contactRecord('1', 1n, { full_name: '\ud800' }),
      'a topic that is not written': { ...good, topic: 'somewhere.else' },
    };
    for (const { createSink } of sinks) {
      const sink = createSink(configs, { logger: pino({ level: 'silent' }) });
      expect(sink.check?.(good), sink.name).toBeUndefined();
      expect(sink.check?.(contactRecord('1', 2n, null)), sink.name).toBeUndefined();
      for (const [name, record] of Object.entries(bad)) {
        expect(sink.check?.(record), `${sink.name}: ${name}`).toMatchObject({ domain: 'user' });
      }
      await sink.close();
    }
  });

  it('refuses unknown keys and names that would have to be quoted', () => {
    const { postgres, clickhouse, elasticsearch } = sinkConfigSections;
    expect(postgres.safeParse({ shema: 'x' }).success).toBe(false);
    expect(postgres.safeParse({ schema: 'a"; DROP' }).success).toBe(false);
    expect(clickhouse.safeParse({ database: 'a`b' }).success).toBe(false);
    expect(elasticsearch.safeParse({ indexPrefix: 'Upper*' }).success).toBe(false);
    expect(elasticsearch.safeParse({ keepDeletedDays: 14 }).success).toBe(false);
  });

  it('describes every field, and marks the secret ones', () => {
    const secrets: string[] = [];
    for (const [section, schema] of Object.entries(sinkConfigSections)) {
      for (const [field, type] of Object.entries(schema.shape)) {
        expect(type.description, `${section}.${field}`).toBeTruthy();
        if (type.meta()?.['secret'] === true) secrets.push(`${section}.${field}`);
      }
    }
    expect(secrets).toEqual(['postgres.url', 'clickhouse.password', 'elasticsearch.password']);
  });
});
