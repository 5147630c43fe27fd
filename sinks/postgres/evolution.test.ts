import { describe, expect, it } from 'vitest';
import type { StoreSpec } from '../../schemas/stores.ts';
import { fieldsOf, type TableModel, tableModel } from '../fields.ts';
import { planEvolution, planPostgresEvolution } from './evolution.ts';
import { writeStatements } from './statements.ts';

const contacts = tableModel('contact.golden');
const counts = tableModel('metric.tenant.count');

/** A model whose schema has more fields, or others, or a changed spec. */
function changed(
  model: TableModel,
  fields: readonly object[],
  { without = [], spec = {} }: { without?: readonly string[]; spec?: Partial<StoreSpec> } = {},
): TableModel {
  const added = fieldsOf(JSON.stringify({ type: 'record', name: 'R', fields }));
  const names = new Set([...without, ...added.map(({ name }) => name)]);
  const kept = model.fields.filter(({ name }) => !names.has(name));
  return { ...model, spec: { ...model.spec, ...spec }, fields: [...kept, ...added] };
}

describe('the tables of Postgres', () => {
  it('are made from schema and map: types, key, nulls, docs', () => {
    const { statements, refused } = planPostgresEvolution(undefined, counts, 'it"s');
    expect(refused).toEqual([]);
    expect(statements[0]).toBe(`CREATE TABLE "it""s"."tenant_counts" (
  "tenant_id" text NOT NULL,
  "window_start" timestamp with time zone NOT NULL,
  "window_end" timestamp with time zone NOT NULL,
  "count" bigint NOT NULL,
  "version" bigint NOT NULL,
  PRIMARY KEY ("tenant_id", "window_start")
)`);
    expect(statements).toContain(
      `COMMENT ON COLUMN "it""s"."tenant_counts"."version" IS 'Grows with every update of the window.'`,
    );
    expect(statements.join()).not.toContain('VIEW');
  });

  it('with deletes keep emptied rows behind a view', () => {
    const { statements } = planEvolution(undefined, contacts);
    const [create] = statements;
    expect(create).toContain('CREATE TABLE "reachflow"."contacts_all"');
    expect(create).toMatch(/"email" text,\n/);
    expect(create).toMatch(/"version" bigint NOT NULL,\n/);
    expect(create).toMatch(/live_is_complete CHECK \(deleted OR .*"email" IS NOT NULL/);
    expect(create).not.toMatch(/"phone" IS NOT NULL/);
    expect(statements.at(-1)).toMatch(
      /VIEW "reachflow"."contacts" AS\n {2}SELECT "id", .*"version" FROM .* WHERE NOT deleted$/,
    );
  });

  it('need a key and a version that are never null', () => {
    const plans = [
      changed(counts, [{ name: 'version', type: ['null', 'long'] }]),
      changed(counts, [], { without: ['window_start'] }),
      changed(contacts, [{ name: 'deleted', type: 'boolean' }]),
      changed(contacts, [], { spec: { key: ['id', 'tenant_id'] } }),
      changed(counts, [{ name: 'version', type: 'string' }]),
    ].map((model) => planEvolution(undefined, model));
    const faults = [
      /version may be null/,
      /no field window_start/,
      /field deleted/,
      /one key field/,
    ];
    [...faults, /version.* is no long/].forEach((fault, i) => {
      expect(plans[i]?.refused).toEqual([expect.stringMatching(fault)]);
      expect(plans[i]?.statements).toEqual([]);
    });
  });
});

describe('their evolution', () => {
  it('changes nothing for the same schema', () => {
    for (const model of [contacts, counts]) {
      expect(planEvolution(model, model)).toEqual({
        store: 'postgres',
        statements: [],
        refused: [],
      });
    }
  });

  it('adds columns, with the default that old records read with, and to the end of the view', () => {
    const after = changed(contacts, [
      { name: 'city', type: ['null', 'string'], default: null, doc: "Where it's." },
      { name: 'plan', type: 'string', default: "it's free" },
    ]);
    const { statements, refused } = planEvolution(contacts, after);
    expect(refused).toEqual([]);
    const table = 'ALTER TABLE "reachflow"."contacts_all"';
    expect(statements.slice(0, 3)).toEqual([
      `${table} ADD COLUMN IF NOT EXISTS "city" text`,
      `COMMENT ON COLUMN "reachflow"."contacts_all"."city" IS 'Where it''s.'`,
      `${table} ADD COLUMN IF NOT EXISTS "plan" text DEFAULT 'it''s free'::text`,
    ]);
    expect(statements[3]).toMatch(/^CREATE OR REPLACE VIEW .*"version", "city", "plan" FROM/s);
    expect(statements).toHaveLength(4);
  });

  it('lets a column be null that the schema lets be null now', () => {
    const plain = changed(counts, [{ name: 'count', type: ['null', 'long'] }]);
    expect(planEvolution(counts, plain).statements).toEqual([
      'ALTER TABLE "reachflow"."tenant_counts" ALTER COLUMN "count" DROP NOT NULL',
    ]);
    const guarded = changed(contacts, [{ name: 'email', type: ['null', 'string'] }]);
    const [statement, ...more] = planEvolution(contacts, guarded).statements;
    expect(more).toEqual([]);
    expect(statement).toMatch(/DROP CONSTRAINT live_is_complete, ADD CONSTRAINT .* NOT VALID$/);
    expect(statement).not.toContain('email');
  });

  it('refuses what additions cannot do, naming the field', () => {
    const cases: readonly (readonly [TableModel, RegExp])[] = [
      [changed(counts, [{ name: 'count', type: 'string' }]), /column count is bigint, not text/],
      [changed(counts, [{ name: 'extra', type: 'string' }]), /column extra is missing.*default/],
      [changed(counts, [], { without: ['count'] }), /column count is not in the schema/],
      [changed(counts, [], { spec: { key: ['tenant_id'] } }), /no primary key .*\(tenant_id\)/],
      [
        changed(counts, [], { spec: { deletes: true, key: ['tenant_id'] } }),
        /tenant_counts is a table, not the view/,
      ],
    ];
    for (const [after, why] of cases) {
      expect(planEvolution(counts, after)).toEqual({
        ...{ store: 'postgres', statements: [] },
        refused: [expect.stringMatching(why)],
      });
    }
  });
});

describe('the statements', () => {
  it('let a greater version win, or keep what was appended', () => {
    expect(writeStatements(counts, 'a').rows).toMatch(
      /ON CONFLICT \("tenant_id", "window_start"\) DO UPDATE SET "window_end".*\nWHERE t\."version" < excluded\."version"$/,
    );
    expect(writeStatements(tableModel('event.recorded'), 'a').rows).toMatch(
      /ON CONFLICT \("event_id"\) DO NOTHING$/,
    );
  });
});
