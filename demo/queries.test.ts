import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { queries } from './queries.ts';

const endpoints = {
  kafka: { brokers: ['127.0.0.1:1'] },
  registry: { url: 'http://127.0.0.1:2' },
  connect: { url: 'http://127.0.0.1:3' },
  postgres: { url: 'postgres://reachflow:it%27s@127.0.0.1:4/reachflow' },
  clickhouse: {
    url: 'http://127.0.0.1:5',
    username: 'default',
    password: "it's",
    database: 'reachflow',
  },
  elasticsearch: { url: 'http://127.0.0.1:6' },
};

const DIR = '.reachflow/stack';

describe('queries', () => {
  it('are commands that a shell takes, with the real endpoints', () => {
    const commands = queries(endpoints, DIR).map(({ command }) => command);
    for (const command of commands) execFileSync('sh', ['-n', '-c', command]);
    const text = commands.join('\n');
    expect(text).toContain(endpoints.postgres.url);
    expect(text).toContain('127.0.0.1:5');
    expect(text).toContain('127.0.0.1:6');
    expect(text).toContain('reachflow dlq list');
  });

  it('name the stack where it is not in its usual place', () => {
    const last = (dir: string) => queries(endpoints, dir).at(-1)?.command;
    expect(last(DIR)).toBe('npx reachflow dlq list');
    expect(last('/srv/my stack')).toBe(
      "REACHFLOW_STACK_DIR='/srv/my stack' npx reachflow dlq list",
    );
  });

  it('leave out the login that needs none', () => {
    const open = { ...endpoints, clickhouse: { ...endpoints.clickhouse, password: '' } };
    expect(queries(open, DIR).some(({ command }) => command.includes(' -u '))).toBe(false);
    expect(queries(endpoints, DIR).some(({ command }) => command.includes(' -u '))).toBe(true);
  });
});
