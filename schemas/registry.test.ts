import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createSchemaRegistryClient } from './registry.ts';

describe('a registry that answers with an error', () => {
  const server = createServer();
  afterEach(() => server.close());

  it.each([
    [404, 'SCHEMA_UNKNOWN', 'none'],
    [401, 'REGISTRY_LOGIN_REFUSED', 'backoff'],
    [403, 'REGISTRY_LOGIN_REFUSED', 'backoff'],
    [429, 'REGISTRY_UNAVAILABLE', 'backoff'],
    [503, 'REGISTRY_UNAVAILABLE', 'backoff'],
  ])('%d is %s, retry %s: only a 404 is about the schema', async (status, code, retry) => {
    server.removeAllListeners('request').on('request', (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"message":"no"}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = createSchemaRegistryClient(`http://127.0.0.1:${port}`);
    await expect(client.writerType(1)).rejects.toMatchObject({ code, retry });
  });
});

describe('a registry that asks who we are', () => {
  const server = createServer();
  afterEach(() => server.close());

  async function start() {
    const refused: string[] = [];
    server.removeAllListeners('request').on('request', ({ method, url, headers }, response) => {
      const known = headers.authorization === `Basic ${btoa('reader:s3cret')}`;
      if (!known) refused.push(`${method} ${url}`);
      const body = { compatibilityLevel: 'BACKWARD', id: 7 };
      response
        .writeHead(known ? 200 : 401, { 'content-type': 'application/json' })
        .end(JSON.stringify(body));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, refused };
  }

  const schema = JSON.stringify({ type: 'record', name: 'ns.A', fields: [] });

  it('is told with every request', async () => {
    const { url, refused } = await start();
    const client = createSchemaRegistryClient(url, { username: 'reader', password: 's3cret' });
    expect(await client.register('a-value', schema)).toBe(7);
    expect(refused).toEqual([]);
  });

  it('says so when it does not know us', async () => {
    const { url } = await start();
    const client = createSchemaRegistryClient(url, { username: 'reader', password: 'wrong' });
    await expect(client.register('a-value', schema)).rejects.toMatchObject({
      code: 'REGISTRY_LOGIN_REFUSED',
    });
  });
});

describe('a rule that another process sets at the same moment', () => {
  const server = createServer();
  afterEach(() => server.close());

  /** A registry that answers 409 to the first `contested` tries to set a rule. */
  async function start(contested: number) {
    let puts = 0;
    server.removeAllListeners('request').on('request', ({ method }, response) => {
      if (method === 'PUT') puts += 1;
      const status = method === 'PUT' && puts <= contested ? 409 : 200;
      const body = { compatibilityLevel: 'BACKWARD', id: 7 };
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return { client: createSchemaRegistryClient(`http://127.0.0.1:${port}`), puts: () => puts };
  }

  const schema = JSON.stringify({ type: 'record', name: 'ns.A', fields: [] });

  it('is set again, until it is', async () => {
    const { client, puts } = await start(3);
    expect(await client.register('a-value', schema)).toBe(7);
    expect(puts()).toBe(4);
  });

  it('is not set for ever', { timeout: 20_000 }, async () => {
    const { client, puts } = await start(Number.POSITIVE_INFINITY);
    await expect(client.register('a-value', schema)).rejects.toMatchObject({
      code: 'REGISTRY_UNAVAILABLE',
      retry: 'backoff',
    });
    expect(puts()).toBe(9);
  });
});
