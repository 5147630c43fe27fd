import { createServer } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { StackEndpoints } from './endpoints.ts';
import { upExternal, withoutPassword, withoutPasswords } from './external.ts';
import type { StackEvent, StackOptions, StackStatus } from './types.ts';

/** A port that nothing listens on: bound once, then released. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

function options(endpoints: StackEndpoints | undefined, events: StackEvent[]): StackOptions {
  return {
    engine: 'external',
    dir: '/nowhere',
    cacheDir: '/nowhere',
    onProgress: (event) => events.push(event),
    ...(endpoints === undefined ? {} : { endpoints }),
  };
}

describe('upExternal', () => {
  it('names every engine that does not answer, where and why, without its password', async () => {
    const port = await closedPort();
    const url = `http://127.0.0.1:${port}`;
    const events: StackEvent[] = [];
    const endpoints: StackEndpoints = {
      kafka: { brokers: [`127.0.0.1:${port}`] },
      registry: { url },
      connect: { url },
      postgres: { url: `postgres://app:hidden@127.0.0.1:${port}/app` },
      clickhouse: { url, username: 'u', password: 'hidden', database: 'd' },
      elasticsearch: { url },
    };
    const error: unknown = await upExternal(options(endpoints, events)).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'STACK_UNREACHABLE', domain: 'external' });
    const { message } = error as Error;
    for (const name of Object.keys(endpoints)) {
      expect(message).toMatch(new RegExp(`${name} \\(.*${port}.*\\): ECONNREFUSED`));
    }
    expect(message).not.toContain('hidden');
    expect(events.map(({ status }) => status)).toEqual(Array(6).fill('failed'));
  });

  it('says which settings it needs when there are no endpoints', async () => {
    await expect(upExternal(options(undefined, []))).rejects.toMatchObject({
      code: 'STACK_ENDPOINTS_MISSING',
      hint: expect.stringContaining('REACHFLOW_KAFKA_BROKERS'),
    });
  });
});

describe('withoutPasswords', () => {
  it('leaves no password anywhere in a status', () => {
    const url = 'http://u:hidden@h:1/';
    const status: StackStatus = {
      engine: 'external',
      endpoints: {
        kafka: { brokers: ['h:1'] },
        registry: { url },
        connect: { url },
        postgres: { url: 'postgres://app:hidden@h:1/db' },
        clickhouse: { url, username: 'u', password: 'hidden', database: 'd' },
        elasticsearch: { url },
      },
      components: [
        {
          name: 'postgres',
          version: '',
          endpoint: 'postgres://app:hidden@h:1/db',
          state: 'running',
          pid: undefined,
          rssBytes: undefined,
          startedInMs: undefined,
        },
      ],
    };
    const shown = JSON.stringify(withoutPasswords(status));
    expect(shown).not.toContain('hidden');
    expect(shown).toContain('postgres://app:***@h:1/db');
  });
});

describe('withoutPassword', () => {
  it('hides the password of a URL and leaves other text', () => {
    expect(withoutPassword('postgres://app:secret@host:5432/db')).toBe(
      'postgres://app:***@host:5432/db',
    );
    expect(withoutPassword('a:9092,b:9092')).toBe('a:9092,b:9092');
    expect(withoutPassword('127.0.0.1:9092')).toBe('127.0.0.1:9092');
  });
});
