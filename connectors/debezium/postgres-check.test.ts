import { describe, expect, it } from 'vitest';
import { postgresProblems, type SourceFacts } from './postgres-check.ts';

const good: SourceFacts = {
  walLevel: 'logical',
  user: 'app',
  database: 'shop',
  mayReplicate: true,
  slotsUsed: 0,
  maxSlots: 10,
  slot: null,
  sendersUsed: 0,
  maxSenders: 10,
  mayCreate: true,
  publication: null,
  hasSignalTable: true,
  tables: [
    {
      name: 'public.contacts',
      replicaIdentity: 'f',
      hasPrimaryKey: true,
      isReadable: true,
      isOwned: true,
    },
  ],
};
const required = {
  tables: ['public\\.contacts'],
  slot: 'reachflow_cdc',
  publication: 'reachflow_cdc',
  publicationMode: 'filtered' as const,
  signalTable: 'public.reachflow_signal',
};
const [table] = good.tables;
if (table === undefined) throw new Error('no table');
const published = {
  isOwned: true,
  allTables: false,
  publishesAll: true,
  tables: ['public.contacts', 'public.reachflow_signal'],
};

describe('postgresProblems', () => {
  it('finds none in a database that is ready, or that has our slot already', () => {
    expect(postgresProblems(good, required)).toEqual([]);
    const ours = {
      ...good,
      slotsUsed: 10,
      slot: { plugin: 'pgoutput', database: 'shop', isLost: false },
    };
    expect(postgresProblems(ours, required)).toEqual([]);
  });

  it.each<[string, Partial<SourceFacts>, string]>([
    ['WAL level', { walLevel: 'replica' }, 'ALTER SYSTEM SET wal_level = logical;'],
    ['role', { mayReplicate: false }, 'ALTER ROLE "app" REPLICATION;'],
    ['slots', { slotsUsed: 10 }, 'ALTER SYSTEM SET max_replication_slots = 14;'],
    [
      'foreign slot',
      { slot: { plugin: 'wal2json', database: 'shop', isLost: false } },
      'debezium.slot',
    ],
    [
      'slot of another database',
      { slot: { plugin: 'pgoutput', database: 'x', isLost: false } },
      'debezium.slot',
    ],
    ['WAL senders', { sendersUsed: 10 }, 'ALTER SYSTEM SET max_wal_senders = 14;'],
    ['table', { tables: [] }, 'Create public.contacts'],
    [
      'right to read',
      { tables: [{ ...table, isReadable: false }] },
      'GRANT SELECT ON public.contacts TO "app";',
    ],
    [
      'right to publish',
      { mayCreate: false },
      'CREATE PUBLICATION "reachflow_cdc" FOR TABLE public.contacts, public.reachflow_signal;',
    ],
    ["owner's publication", { tables: [{ ...table, isOwned: false }] }, 'CREATE PUBLICATION'],
    [
      "publication's operations",
      { publication: { ...published, publishesAll: false } },
      'ALTER PUBLICATION "reachflow_cdc" SET (publish = \'insert, update, delete, truncate\');',
    ],
    [
      "publication's owner",
      { publication: { ...published, isOwned: false } },
      'ALTER PUBLICATION "reachflow_cdc" OWNER TO "app";',
    ],
    [
      'signalling table',
      { hasSignalTable: false },
      'CREATE TABLE IF NOT EXISTS public.reachflow_s',
    ],
    ['key', { tables: [{ ...table, hasPrimaryKey: false }] }, 'ADD PRIMARY KEY'],
    [
      'replica identity',
      { tables: [{ ...table, replicaIdentity: 'd' }] },
      'ALTER TABLE public.contacts REPLICA IDENTITY FULL;',
    ],
  ])('names the %s and its fix', (_what, facts, fix) => {
    const problems = postgresProblems({ ...good, ...facts }, required);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.fix).toContain(fix);
  });

  it('asks the owner of a publication that is not ours to keep', () => {
    const disabled = { ...required, publicationMode: 'disabled' as const };
    const fixOf = (publication: SourceFacts['publication']) =>
      postgresProblems({ ...good, publication }, disabled).map(({ fix }) => fix);
    expect(fixOf(null)).toEqual([
      'CREATE PUBLICATION "reachflow_cdc" FOR TABLE public.contacts, public.reachflow_signal;',
    ]);
    expect(fixOf({ ...published, isOwned: false, tables: ['public.contacts'] })).toEqual([
      'ALTER PUBLICATION "reachflow_cdc" ADD TABLE public.reachflow_signal;',
    ]);
    expect(fixOf({ ...published, isOwned: false, allTables: true, tables: [] })).toEqual([]);
  });

  it('names all of them at once', () => {
    const facts = { ...good, walLevel: 'replica', mayReplicate: false };
    expect(postgresProblems(facts, required)).toHaveLength(2);
  });
});
