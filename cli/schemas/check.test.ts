import { describe, expect, it } from 'vitest';
import { defineTopology } from '../../runtime/topology/builder.ts';
import { readerSchemaText } from '../../schemas/avro.ts';
import type { PlanEvolution } from '../../sinks/evolution.ts';
import { checkSchema, isBroken } from './check.ts';

interface AvroField {
  readonly name: string;
}

/** The contact's schema with its fields changed. */
function contactWith(change: (fields: readonly AvroField[]) => readonly unknown[]): string {
  const schema = JSON.parse(readerSchemaText('contact.golden')) as { fields: readonly AvroField[] };
  return JSON.stringify({ ...schema, fields: change(schema.fields) });
}

const now = readerSchemaText('contact.golden');
const grown = contactWith((fields) => [
  ...fields,
  { name: 'city', type: ['null', 'string'], default: null },
]);
const shrunk = contactWith((fields) => fields.filter(({ name }) => name !== 'email'));
const renamed = contactWith((fields) =>
  fields.map((field) => (field.name === 'email' ? { ...field, name: 'mail' } : field)),
);

/** Adds columns, refuses to drop any. */
const planEvolution: PlanEvolution = (before, after) => {
  const names = (model: typeof after | undefined) => (model?.fields ?? []).map(({ name }) => name);
  const added = names(after).filter((name) => !names(before).includes(name));
  const gone = names(before).filter((name) => !names(after).includes(name));
  return { store: 'postgres', statements: added.map((name) => `ADD ${name}`), refused: gone };
};
const sinks = [
  { name: 'postgres', planEvolution },
  {
    name: 'elasticsearch',
    fieldBudget: ({ fields }: { fields: readonly unknown[] }) => ({
      used: fields.length,
      limit: 15,
    }),
  },
];
const history = (...versions: string[]) => ({ from: 'a test', versions });
const preflight = { pipelines: [], sinks };

describe('schemas check', () => {
  it('finds nothing in an unchanged schema', () => {
    const report = checkSchema('contact.golden', now, history(now), preflight);
    expect(report).toMatchObject({ changed: false, versions: 1 });
    expect(report.stores).toEqual([{ store: 'postgres', statements: [], refused: [] }]);
    expect(isBroken(report, 'FULL_TRANSITIVE')).toBe(false);
  });

  it('shows what a new field with a default means to each store', () => {
    const report = checkSchema('contact.golden', grown, history(now), preflight);
    expect(report).toMatchObject({ changed: true, budget: { used: 15, limit: 15 } });
    expect(report.stores[0]?.statements).toEqual(['ADD city']);
    expect(isBroken(report, 'FULL')).toBe(false);
  });

  it('is broken by the level that must hold only', () => {
    const report = checkSchema('contact.golden', shrunk, history(now), { ...preflight, sinks: [] });
    expect(isBroken(report, 'BACKWARD')).toBe(false);
    expect(isBroken(report, 'FORWARD')).toBe(true);
    const missing = checkSchema('contact.golden', renamed, history(now), preflight);
    expect(missing.verdicts.find(({ level }) => level === 'BACKWARD')?.violations).toEqual([
      {
        direction: 'backward',
        version: 1,
        path: 'mail',
        reason: 'it is not written, and has no default',
      },
    ]);
  });

  it('is broken by a store that cannot follow, and by a mapping without room', () => {
    expect(isBroken(checkSchema('contact.golden', shrunk, history(now), preflight), 'NONE')).toBe(
      true,
    );
    const more = contactWith((fields) => [
      ...fields,
      { name: 'a', type: 'int', default: 0 },
      { name: 'b', type: 'int', default: 0 },
    ]);
    const full = checkSchema('contact.golden', more, history(now), preflight);
    expect(full.budget).toEqual({ used: 16, limit: 15 });
    expect(isBroken(full, 'NONE')).toBe(true);
  });

  it('names the stores that hold values of before, and what those are without', () => {
    const keeping = defineTopology('keeping', (t) => {
      const contacts = t.stream('contact.golden').filter('some', () => true);
      const events = t.stream('event.recorded');
      contacts
        .joinStream('joined', events, { withinMs: 1_000 }, (contact) => contact)
        .ignore('a test');
    });
    const report = checkSchema('contact.golden', grown, history(now), {
      pipelines: [keeping],
      sinks,
    });
    expect(report.state.readable).toBe(false);
    expect(report.state.fields).toEqual(['city']);
    expect(report.state.kept.map(({ store }) => store)).toEqual(['joined.left', 'joined.right']);
    const same = checkSchema('contact.golden', now, history(now), { pipelines: [keeping], sinks });
    expect(same.state.readable).toBe(true);
  });

  it('compares a new schema to nothing', () => {
    const report = checkSchema('contact.golden', now, history(), preflight);
    expect(report).toMatchObject({ versions: 0, changed: false });
    expect(report.stores[0]?.statements).toContain('ADD email');
    expect(isBroken(report, 'FULL_TRANSITIVE')).toBe(false);
  });
});
