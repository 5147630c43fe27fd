import { readdirSync, readFileSync } from 'node:fs';
import avro from 'avsc';
import { describe, expect, it } from 'vitest';
import { type CompatibilityLevel, incompatibilities, verdicts } from './compatibility.ts';

const record = (...fields: readonly object[]) =>
  JSON.stringify({ type: 'record', name: 'myrecord', fields });
const f1 = { name: 'f1', type: 'string' };
const f2 = { name: 'f2', type: 'string' };

/** The schemas of the registry's own test, `AvroCompatibilityTest`, under its numbers. */
const schema: Readonly<Record<number, string>> = {
  1: record(f1),
  2: record(f1, { ...f2, default: 'foo' }),
  3: record(f1, f2),
  4: record({ name: 'f1_new', type: 'string', aliases: ['f1'] }),
  6: record({ name: 'f1', type: ['null', 'string'], doc: 'doc of f1' }),
  7: record({ name: 'f1', type: ['null', 'string', 'int'], doc: 'doc of f1' }),
  8: record(f1, { ...f2, default: 'foo' }, { name: 'f3', type: 'string', default: 'bar' }),
};
const text = (number: number) => schema[number] ?? '';

type Case = readonly [
  current: number,
  earlier: readonly number[],
  compatible: boolean,
  why: string,
];

/** The verdicts that it publishes, earlier versions oldest first. */
const published: Readonly<Partial<Record<CompatibilityLevel, readonly Case[]>>> = {
  BACKWARD: [
    [2, [1], true, 'a field with a default is added'],
    [3, [1], false, 'a field without a default is added'],
    [4, [1], true, 'a field is renamed, with an alias'],
    [6, [1], true, 'a type becomes a union'],
    [1, [6], false, 'a type is removed from a union'],
    [7, [6], true, 'a type is added to a union'],
    [6, [7], false, 'a type is removed from a larger union'],
    [3, [1, 2], true, 'only the last version counts'],
  ],
  BACKWARD_TRANSITIVE: [
    [8, [1, 2], true, 'fields with defaults are added one after the other'],
    [2, [1], true, 'a field with a default is added'],
    [3, [2], true, 'a default is removed'],
    [3, [2, 1], false, 'a default is removed that an earlier version needs'],
  ],
  FORWARD: [
    [2, [1], true, 'a field with a default is added'],
    [3, [1], true, 'a field without a default is added'],
    [3, [2], true, 'a default is removed'],
    [2, [3], true, 'a default is added'],
    [1, [3, 2], true, 'only the last version counts'],
  ],
  FORWARD_TRANSITIVE: [
    [1, [8, 2], true, 'fields with defaults are removed one after the other'],
    [2, [3], true, 'a default is added'],
    [1, [2], true, 'a field with a default is removed'],
    [1, [2, 3], false, 'a field is removed that an earlier version needs'],
  ],
  FULL: [
    [2, [1], true, 'a field with a default is added'],
    [3, [1, 2], true, 'only the last version counts'],
    [1, [3, 2], true, 'only the last version counts, backwards'],
  ],
  FULL_TRANSITIVE: [
    [8, [1, 2], true, 'fields with defaults are added one after the other'],
    [1, [8, 2], true, 'fields with defaults are removed one after the other'],
    [2, [3], true, 'a default is added'],
    [1, [2], true, 'a field with a default is removed'],
    [2, [1], true, 'a field with a default is added'],
    [3, [2], true, 'a default is removed'],
    [3, [2, 1], false, 'a field without a default is added, seen from an earlier version'],
    [1, [2, 3], false, 'a field without a default is removed, seen from an earlier version'],
  ],
};

describe("the registry's published verdicts", () => {
  for (const [level, cases] of Object.entries(published)) {
    for (const [current, earlier, compatible, why] of cases) {
      it(`${level}: ${current} after ${earlier.join(', ')}: ${why}`, () => {
        const all = verdicts(text(current), earlier.map(text));
        expect(all.find((verdict) => verdict.level === level)?.compatible).toBe(compatible);
        expect(all.find((verdict) => verdict.level === 'NONE')?.compatible).toBe(true);
      });
    }
  }
});

/** Pairs of types that are read as each other: the verdict is compared to that of the resolver that reads records. */
const types: readonly unknown[] = [
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'string',
  'bytes',
  { type: 'array', items: 'int' },
  { type: 'array', items: 'long' },
  { type: 'map', values: 'string' },
  { type: 'map', values: ['null', 'string'] },
  { type: 'enum', name: 'E', symbols: ['A', 'B'] },
  { type: 'enum', name: 'E', symbols: ['A'] },
  { type: 'enum', name: 'E', symbols: ['A'], default: 'A' },
  { type: 'fixed', name: 'F', size: 4 },
  { type: 'fixed', name: 'F', size: 8 },
  { type: 'long', logicalType: 'timestamp-millis' },
  ['null', 'string'],
  ['null', 'long', 'string'],
  ['null', 'int'],
  { type: 'record', name: 'R', fields: [{ name: 'a', type: 'int' }] },
  { type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] },
  { type: 'record', name: 'S', fields: [{ name: 'a', type: 'int' }] },
  { type: 'record', name: 'S', aliases: ['R'], fields: [{ name: 'a', type: 'int' }] },
  {
    type: 'record',
    name: 'R',
    fields: [
      { name: 'a', type: 'int' },
      { name: 'next', type: ['null', 'R'], default: null },
    ],
  },
];

function resolves(reader: unknown, writer: unknown): boolean {
  const make = (given: unknown) => avro.Type.forSchema(given as never);
  try {
    make(reader).createResolver(make(writer));
    return true;
  } catch {
    return false;
  }
}

describe('incompatibilities', () => {
  it('agrees with the resolver about every pair of types', () => {
    const differing = types.flatMap((reader) =>
      types.flatMap((writer) => {
        const found = incompatibilities(JSON.stringify(reader), JSON.stringify(writer));
        const isSame = (found.length === 0) === resolves(reader, writer);
        return isSame ? [] : [`${JSON.stringify(writer)} as ${JSON.stringify(reader)}`];
      }),
    );
    expect(differing).toEqual([]);
  });

  it('names every place, with its path', () => {
    const nested = (type: unknown) => ({
      name: 'list',
      type: {
        type: 'array',
        items: { type: 'record', name: 'Item', fields: [{ name: 'x', type }] },
      },
    });
    const found = incompatibilities(record(f1, f2, nested('int')), record(f1, nested('string')));
    expect(found).toEqual([
      { path: 'f2', reason: 'it is not written, and has no default' },
      { path: 'list[].x', reason: 'string cannot be read as int' },
    ]);
  });

  it('finds every schema of ours able to read itself', () => {
    const directory = new URL('./avro/', import.meta.url);
    for (const file of readdirSync(directory)) {
      const own = readFileSync(new URL(file, directory), 'utf8');
      expect(incompatibilities(own, own), file).toEqual([]);
    }
  });
});
