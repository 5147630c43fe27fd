import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { listen, urlOf } from './listen.ts';

const options = { host: '127.0.0.1', section: 'socket', purpose: 'senders' };

describe('listen', () => {
  it('says where a free port is, as a URL that answers', async () => {
    const app = Fastify();
    app.get('/', () => 'here');
    const url = await listen(app, { ...options, port: 0 });
    expect(await (await fetch(url)).text()).toBe('here');
    await app.close();
  });

  it('names the setting of a port that is taken', async () => {
    const taken = createServer().listen(0, options.host);
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const app = Fastify();
    await expect(listen(app, { ...options, port })).rejects.toMatchObject({
      code: 'SOCKET_LISTEN_FAILED',
      hint: 'Another process has the port: set socket.port (0 takes a free one).',
    });
    await app.close();
    taken.close();
  });

  it('writes IPv6 addresses as URLs have them', () => {
    expect(urlOf('::1', 80)).toBe('http://[::1]:80');
  });
});
