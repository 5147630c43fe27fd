import { describe, expect, it } from 'vitest';
import { type BinlogFacts, mysqlProblems } from './mysql-check.ts';

const good: BinlogFacts = {
  user: 'cdc@%',
  logBin: true,
  binlogFormat: 'ROW',
  rowImage: 'FULL',
  serverId: 1,
  gtid: '1',
  privileges: ['SELECT', 'RELOAD', 'REPLICATION SLAVE', 'BINLOG MONITOR'],
  tables: [{ name: 'shop.contacts', hasPrimaryKey: true }],
  hasSignalTable: true,
};
const required = {
  kind: 'mariadb' as const,
  tables: ['shop\\.contacts'],
  serverId: 7,
  signalTable: 'shop.reachflow_signal',
};

describe('mysqlProblems', () => {
  it('finds none in a server that is ready, of either kind', () => {
    expect(mysqlProblems(good, required)).toEqual([]);
    const privileges = ['LOCK TABLES', 'REPLICATION SLAVE', 'REPLICATION CLIENT'];
    const mysql = { ...good, gtid: 'ON', privileges };
    expect(mysqlProblems(mysql, { ...required, kind: 'mysql' })).toEqual([]);
  });

  it.each<[string, Partial<BinlogFacts>, string]>([
    ['binlog', { logBin: false }, 'log_bin = binlog'],
    ['format', { binlogFormat: 'MIXED' }, "SET GLOBAL binlog_format = 'ROW';"],
    ['row image', { rowImage: 'MINIMAL' }, "SET GLOBAL binlog_row_image = 'FULL';"],
    ['server id', { serverId: 0 }, 'SET GLOBAL server_id = 1;'],
    ['same server id', { serverId: 7 }, 'debezium.serverId'],
    ['GTIDs', { gtid: '0' }, 'SET GLOBAL gtid_strict_mode = ON;'],
    [
      'grants',
      { privileges: ['SELECT', 'RELOAD'] },
      "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'cdc'@'%';",
    ],
    ['table', { tables: [] }, "GRANT SELECT ON shop.contacts TO 'cdc'@'%';"],
    ['key', { tables: [{ name: 'shop.contacts', hasPrimaryKey: false }] }, 'ADD PRIMARY KEY'],
    ['signalling table', { hasSignalTable: false }, 'CREATE TABLE IF NOT EXISTS shop.reachflow_s'],
  ])('names the %s and its fix', (_what, facts, fix) => {
    const problems = mysqlProblems({ ...good, ...facts }, required);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.fix).toContain(fix);
  });
});
