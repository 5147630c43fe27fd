import { describe, expect, it } from 'vitest';
import { type Field, type TableModel, tableModel } from '../fields.ts';
import { countFields, fieldBudget, planEvolution, planMapping } from './evolution.ts';
import { type Properties, propertiesOf } from './schema.ts';

const contacts = tableModel('contact.golden');
const events = tableModel('event.recorded');

const text = (name: string): Field => ({
  ...{ name, type: { kind: 'string' }, nullable: true, doc: '', hasDefault: true },
});

function withFields(model: TableModel, ...fields: readonly Field[]): TableModel {
  return { ...model, fields: [...model.fields, ...fields] };
}

describe('the mapping', () => {
  it('is that of the specification for contacts', () => {
    const keyword = { type: 'keyword', ignore_above: 8_191 };
    expect(propertiesOf(contacts)).toEqual({
      id: { type: 'keyword' },
      tenant_id: { type: 'keyword' },
      full_name: {
        type: 'text',
        analyzer: 'standard',
        fields: { keyword, ngram: { type: 'text', analyzer: 'ngram_3_4' } },
      },
      email: { ...keyword, normalizer: 'lowercase' },
      phone: keyword,
      company_id: keyword,
      company: { type: 'text', fields: { keyword } },
      company_domain: keyword,
      industry: keyword,
      tags: keyword,
      score: { type: 'float' },
      created_at: { type: 'date' },
      updated_at: { type: 'date' },
      version: { type: 'long' },
      deleted: { type: 'boolean' },
      deleted_at: { type: 'date' },
    });
  });

  it('does not search payloads, and finds events by @timestamp', () => {
    expect(propertiesOf(events)).toMatchObject({
      payload: { type: 'keyword', index: false, doc_values: false },
      occurred_at: { type: 'date' },
      '@timestamp': { type: 'alias', path: 'occurred_at' },
    });
  });

  it('refuses a field that has the name of one of its own', () => {
    expect(() => propertiesOf(withFields(contacts, text('deleted')))).toThrow(/deleted/);
  });
});

describe('evolution', () => {
  it('makes the template, and the first index under its alias', () => {
    for (const [model, name, index] of [
      [contacts, 'contacts', 'contacts-v1'],
      [events, 'events', 'events-older'],
    ] as const) {
      const { statements, refused } = planEvolution(undefined, model);
      expect(refused).toEqual([]);
      expect(statements.map((statement) => statement.split('\n')[0])).toEqual([
        `PUT /_index_template/${name}`,
        `PUT /${index}`,
      ]);
    }
  });

  it('changes nothing when nothing changes', () => {
    expect(planEvolution(contacts, contacts)).toEqual({
      ...{ store: 'elasticsearch', statements: [], refused: [] },
    });
  });

  it('adds fields, and keeps in the template what is no longer written', () => {
    const { statements } = planEvolution(
      withFields(contacts, text('fax')),
      withFields(contacts, text('nickname')),
    );
    expect(statements[0]).toContain('"fax"');
    expect(statements[1]).toBe(
      'PUT /contacts/_mapping\n{"properties":{"nickname":{"type":"keyword","ignore_above":8191}}}',
    );
  });

  it('refuses another type, another analysis and another key, naming each', () => {
    const spec = { ...contacts.spec, key: ['email'], search: { full_name: 'words' } as const };
    const fields = contacts.fields.map((field) =>
      field.name === 'score' ? { ...field, type: { kind: 'string' } as const } : field,
    );
    const { statements, refused } = planEvolution(contacts, { ...contacts, spec, fields });
    expect(statements).toEqual([]);
    const all = refused.join('\n');
    expect(all).toContain('score is float, not keyword');
    expect(all).toContain('email has normalizer lowercase, not');
    expect(all).toContain('key is id, not email');
  });

  it('adds another way to find a field, and a longer limit, to the field that is there', () => {
    const before: Properties = { company: { type: 'text' }, phone: { type: 'keyword' } };
    const { company, phone } = propertiesOf(contacts);
    if (company === undefined || phone === undefined) throw new Error('no such fields');
    const plan = planMapping(before, { company, phone }, 10);
    expect(plan.refused).toEqual([]);
    expect(plan.added).toEqual({ company, phone });
    expect(planMapping(plan.fields, { company, phone }, 10).added).toEqual({});
  });

  it('compares with what a server leaves out: its defaults', () => {
    const before: Properties = { a: { type: 'text' } };
    const after: Properties = { a: { type: 'text', analyzer: 'standard', index: true } };
    expect(planMapping(before, after, 10).refused).toEqual([]);
  });

  it('refuses more fields than an index may have, old ones counted', () => {
    const many = Array.from({ length: 600 }, (_, i) => text(`old_${i}`));
    const more = Array.from({ length: 600 }, (_, i) => text(`new_${i}`));
    const plan = planEvolution(withFields(contacts, ...many), withFields(contacts, ...more));
    expect(plan.refused).toEqual([expect.stringMatching(/^1219 fields .* 1000 .*new_0/)]);
    expect(plan.statements).toEqual([]);
  });

  it('counts what the server counts', () => {
    expect(countFields(propertiesOf(contacts))).toBe(19);
    expect(fieldBudget(contacts)).toEqual({ used: 19, limit: 1_000 });
  });
});
