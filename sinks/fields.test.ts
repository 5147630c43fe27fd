import { describe, expect, it } from 'vitest';
import { fieldsOf, tableModel } from './fields.ts';

function only(type: unknown) {
  const [field] = fieldsOf(
    JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'f', type }] }),
  );
  return { type: field?.type, nullable: field?.nullable };
}

describe('fieldsOf', () => {
  it('reads plain, logical and nullable types', () => {
    expect(only('string')).toEqual({ type: { kind: 'string' }, nullable: false });
    expect(only(['null', 'float'])).toEqual({ type: { kind: 'float' }, nullable: true });
    expect(only(['string', 'null'])).toEqual({ type: { kind: 'string' }, nullable: true });
    expect(only({ type: 'long', logicalType: 'timestamp-millis' }).type).toEqual({
      kind: 'timestamp',
    });
    expect(only({ type: 'long', logicalType: 'bigint' }).type).toEqual({ kind: 'bigint' });
    expect(only({ type: 'int', logicalType: 'date' }).type).toEqual({ kind: 'date' });
  });

  it('reads arrays and maps with the nullability of what is in them', () => {
    expect(only({ type: 'array', items: ['null', 'string'] })).toEqual({
      type: { kind: 'array', items: { kind: 'string' }, nullableItems: true },
      nullable: false,
    });
    expect(only(['null', { type: 'map', values: 'long' }])).toEqual({
      type: { kind: 'map', values: { kind: 'long' }, nullableValues: false },
      nullable: true,
    });
  });

  it('keeps nested records and unions of several types as JSON', () => {
    expect(only({ type: 'record', name: 'N', fields: [] }).type).toEqual({ kind: 'json' });
    expect(only(['null', 'string', 'long'])).toEqual({ type: { kind: 'json' }, nullable: true });
    expect(only('reachflow.Other').type).toEqual({ kind: 'json' });
  });

  it('refuses what is no record', () => {
    expect(() => fieldsOf('{"type":"enum","name":"E","symbols":["A"]}')).toThrow(/no Avro record/);
  });
});

describe('tableModel', () => {
  it('has the fields that keys, versions and times of the map name', () => {
    for (const topic of ['contact.golden', 'event.recorded', 'metric.tenant.count'] as const) {
      const { spec, fields } = tableModel(topic);
      const names = fields.map(({ name }) => name);
      const named = [...spec.key, ...(spec.orderBy ?? []), ...(spec.lowCardinality ?? [])];
      for (const name of [...named, spec.version, spec.time]) {
        if (name !== undefined) expect(names).toContain(name);
      }
    }
  });
});
