import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { rootCause, toConnectorStatus } from './capture-state.ts';
import { connectConfigSchema } from './config.ts';
import { createConnectClient, sameConfig } from './connect-client.ts';

/** What a Connect worker would answer, one after the other; the real one is in the integration test. */
type Answer = readonly [status: number, body: unknown];
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function worker(...answers: Answer[]) {
  const requests: string[] = [];
  const logins: (string | undefined)[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    requests.push(`${request.method} ${request.url}`);
    logins.push(request.headers.authorization);
    const [status, body] = answers[Math.min(requests.length, answers.length) - 1] ?? [500, {}];
    request.resume();
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = connectConfigSchema.parse({
    url,
    username: 'reachflow',
    password: 's3cret',
    maxAttempts: 3,
    requestTimeoutMs: 1_000,
  });
  return { client: createConnectClient(config, pino({ level: 'silent' })), requests, logins };
}

describe('a worker that asks who we are', () => {
  it('is told with every request, and its refusal says what to check', async () => {
    const { client, logins } = await worker([401, { message: 'who are you?' }]);
    await expect(client.status('c')).rejects.toMatchObject({ code: 'CONNECT_LOGIN_REFUSED' });
    expect(logins).toEqual([`Basic ${btoa('reachflow:s3cret')}`]);
  });
});

const ROOT: Answer = [200, { version: '4.3.1', kafka_cluster_id: 'x' }];
const REBALANCING: Answer = [409, { error_code: 409, message: 'rebalance in progress' }];

describe('connect client', () => {
  it('creates, leaves alone what is the same, and changes what differs', async () => {
    const absent = await worker([404, { message: 'not found' }], ROOT, [201, {}]);
    expect(await absent.client.apply('c', { a: '1' })).toBe('created');
    const same = await worker([200, { name: 'c', a: '1' }]);
    expect(await same.client.apply('c', { a: '1' })).toBe('unchanged');
    expect(same.requests).toEqual(['GET /connectors/c/config']);
    const other = await worker([200, { name: 'c', a: '1', b: '2' }], [200, {}]);
    expect(await other.client.apply('c', { a: '1' })).toBe('updated');
    expect(other.requests.at(-1)).toBe('PUT /connectors/c/config');
  });

  it('repeats while the cluster rebalances, and gives up in the end', async () => {
    const passing = await worker(REBALANCING, [204, {}]);
    await passing.client.delete('c');
    expect(passing.requests).toHaveLength(2);
    const lasting = await worker(REBALANCING);
    await expect(lasting.client.delete('c')).rejects.toMatchObject({
      code: 'CONNECT_UNAVAILABLE',
      retry: 'backoff',
      message: expect.stringContaining('rebalance in progress'),
    });
    expect(lasting.requests).toHaveLength(3);
  });

  it.each([
    [400, 'CONNECT_CONFIG_INVALID', 'user'],
    [404, 'CONNECT_NOT_FOUND', 'user'],
    [403, 'CONNECT_LOGIN_REFUSED', 'user'],
  ])('does not repeat a %d: %s', async (status, code, domain) => {
    const { client, requests } = await worker([status, { message: 'because' }], ROOT);
    await expect(client.stop('c')).rejects.toMatchObject({
      code,
      domain,
      message: expect.stringContaining('because'),
    });
    expect(requests).toEqual(['PUT /connectors/c/stop', ...(status === 404 ? ['GET /'] : [])]);
  });

  it('is unavailable when nothing listens', async () => {
    const config = connectConfigSchema.parse({ url: 'http://127.0.0.1:1', maxAttempts: 2 });
    const client = createConnectClient(config, pino({ level: 'silent' }));
    await expect(client.status('c')).rejects.toMatchObject({ code: 'CONNECT_UNAVAILABLE' });
  });

  it('has no status for a connector that does not exist, and deletes it all the same', async () => {
    const absent: Answer = [404, { message: 'no' }];
    const { client } = await worker(absent, ROOT, absent, ROOT);
    expect(await client.status('c')).toBeUndefined();
    await client.delete('c');
  });

  it.each<[string, Answer]>([
    ['a server that knows no such path', [404, { message: 'Not Found' }]],
    ['a page', [200, 'hello']],
    ['JSON of something else', [404, { version: '9' }]],
  ])('tells %s from Connect, whatever it asks', async (_what, answer) => {
    const { client } = await worker(answer);
    const refusal = { code: 'CONNECT_URL_WRONG', domain: 'user' };
    if (answer[0] === 404) {
      await expect(client.stop('c')).rejects.toMatchObject(refusal);
      await expect(client.delete('c')).rejects.toMatchObject(refusal);
    }
    await expect(client.status('c')).rejects.toMatchObject(refusal);
    await expect(client.list()).rejects.toMatchObject(refusal);
  });

  it('compares configurations without regard to order', () => {
    expect(sameConfig({ a: '1', b: '2' }, { b: '2', a: '1' })).toBe(true);
    expect(sameConfig({ a: '1' }, { a: '1', b: '2' })).toBe(false);
    expect(sameConfig({ a: '1' }, { b: '1' })).toBe(false);
  });
});

describe('the status of a capture', () => {
  const trace =
    'org.apache.kafka.connect.errors.ConnectException: outer\n\tat a.b\nCaused by: x.Y: inner\n\tat c.d';
  const task = (state: string) => ({ id: 0, state, trace });
  const state = (connector: string, ...tasks: string[]) => ({
    name: 'c',
    connector: { state: connector },
    tasks: tasks.map(task),
  });

  it.each([
    [state('RUNNING', 'RUNNING'), 'running'],
    [state('RUNNING', 'FAILED'), 'failed'],
    [state('FAILED'), 'failed'],
    [state('RUNNING'), 'starting'],
    [state('RUNNING', 'UNASSIGNED'), 'starting'],
    [state('PAUSED', 'PAUSED'), 'degraded'],
    [state('STOPPED'), 'degraded'],
    [undefined, 'failed'],
  ])('%j is %s', (given, expected) => {
    expect(toConnectorStatus('c', given).state).toBe(expected);
  });

  it('names the innermost cause', () => {
    expect(rootCause(trace)).toBe('x.Y: inner');
    expect(rootCause('a.B: only\n\tat c')).toBe('a.B: only');
    expect(rootCause(undefined)).toBe('no reason given');
    expect(toConnectorStatus('c', state('RUNNING', 'FAILED')).detail).toContain(
      'task 0 failed: x.Y: inner',
    );
  });
});
