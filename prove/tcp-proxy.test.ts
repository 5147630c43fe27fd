import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

describe('tcp proxy', () => {
  let echo: Server;
  let proxy: TcpProxy;

  beforeEach(async () => {
    echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await startTcpProxy('127.0.0.1', (echo.address() as AddressInfo).port);
  });

  afterEach(async () => {
    await proxy.close();
    echo.close();
  });

  async function client(): Promise<Socket> {
    const socket = connect(proxy.port, proxy.host);
    await once(socket, 'connect');
    return socket;
  }

  async function roundTrip(socket: Socket, text: string): Promise<string> {
    const answer = once(socket, 'data');
    socket.write(text);
    return String((await answer)[0]);
  }

  it('passes bytes both ways', async () => {
    const socket = await client();
    expect(await roundTrip(socket, 'hello')).toBe('hello');
    socket.destroy();
  });

  it('cut resets open connections and refuses new ones; restore takes them on the same port', async () => {
    const socket = await client();
    await roundTrip(socket, 'hello');
    const port = proxy.port;
    const failed = once(socket, 'error');
    await proxy.cut();
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
    await expect(client()).rejects.toMatchObject({ code: 'ECONNREFUSED' });

    await proxy.restore();
    expect(proxy.port).toBe(port);
    const again = await client();
    expect(await roundTrip(again, 'again')).toBe('again');
    again.destroy();
  });

  it('freeze holds bytes back and thaw lets them pass', async () => {
    const socket = await client();
    await roundTrip(socket, 'hello');
    proxy.freeze();
    let received = '';
    socket.on('data', (data) => {
      received += String(data);
    });
    socket.write('held');
    await sleep(100);
    expect(received).toBe('');
    const arrived = once(socket, 'data');
    proxy.thaw();
    await arrived;
    expect(received).toBe('held');
    socket.destroy();
  });

  it('delay lets bytes pass later', async () => {
    const socket = await client();
    proxy.delay(60);
    const start = performance.now();
    expect(await roundTrip(socket, 'slow')).toBe('slow');
    // Once each way; timers may fire a millisecond early.
    expect(performance.now() - start).toBeGreaterThan(110);
    socket.destroy();
  });

  it('slowDown holds an answer back, whatever its length, and no question', async () => {
    const BYTES = 4_000_000;
    echo.removeAllListeners('connection');
    echo.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(Buffer.alloc(BYTES)));
    });
    let late = 0;
    proxy.slowDown(() => {
      late += 1;
      return 60;
    });
    const socket = await client();
    const start = performance.now();
    socket.write('a question');
    let received = 0;
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      received += bytes.length;
      if (received === BYTES) break;
    }
    expect(performance.now() - start).toBeGreaterThan(55);
    expect(late).toBe(1);
  });
});
