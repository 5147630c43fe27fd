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
    [401, 'REGISTRY_UNAVAILABLE', 'backoff'],
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
