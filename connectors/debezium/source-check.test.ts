import { describe, expect, it } from 'vitest';
import { type SourceFacts, sourceProblems } from './source-check.ts';

const good: SourceFacts = {
  walLevel: 'logical',
  user: 'app',
  database: 'shop',
  mayReplicate: true,
  slotsUsed: 0,
  maxSlots: 10,
  slot: null,
  tables: [{ name: 'public.contacts', replicaIdentity: 'f', hasPrimaryKey: true }],
};
const required = { tables: ['public.contacts'], slot: 'reachflow_cdc' };
const table = { name: 'public.contacts', replicaIdentity: 'f', hasPrimaryKey: true };

describe('sourceProblems', () => {
  it('finds none in a database that is ready, or that has our slot already', () => {
    expect(sourceProblems(good, required)).toEqual([]);
    const ours = { ...good, slotsUsed: 10, slot: { plugin: 'pgoutput', database: 'shop' } };
    expect(sourceProblems(ours, required)).toEqual([]);
  });

  it.each<[string, Partial<SourceFacts>, string]>([
    ['WAL level', { walLevel: 'replica' }, 'ALTER SYSTEM SET wal_level = logical;'],
    ['role', { mayReplicate: false }, 'ALTER ROLE "app" REPLICATION;'],
    ['slots', { slotsUsed: 10 }, 'ALTER SYSTEM SET max_replication_slots = 14;'],
    ['foreign slot', { slot: { plugin: 'wal2json', database: 'shop' } }, 'debezium.slot'],
    ['slot of another database', { slot: { plugin: 'pgoutput', database: 'x' } }, 'debezium.slot'],
    ['table', { tables: [{ ...table, replicaIdentity: null }] }, 'Create public.contacts'],
    ['key', { tables: [{ ...table, hasPrimaryKey: false }] }, 'ADD PRIMARY KEY'],
    [
      'replica identity',
      { tables: [{ ...table, replicaIdentity: 'd' }] },
      'ALTER TABLE public.contacts REPLICA IDENTITY FULL;',
    ],
  ])('names the %s and its fix', (_what, facts, fix) => {
    const problems = sourceProblems({ ...good, ...facts }, required);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.fix).toContain(fix);
  });

  it('names all of them at once', () => {
    const facts = { ...good, walLevel: 'replica', mayReplicate: false };
    expect(sourceProblems(facts, required)).toHaveLength(2);
  });
});
