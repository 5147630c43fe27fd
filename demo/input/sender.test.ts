import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Delivery } from './deliveries.ts';
import { Ledger } from './ledger.ts';
import { WebhookSender } from './sender.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A real HTTP server on a free port. */
async function serve(answer: RequestListener): Promise<{ url: string; connections: () => number }> {
  let connections = 0;
  const server = createServer(answer);
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, connections: () => connections };
}

function delivery(deliveryId: string, sends: 1 | 2 | 3 = 1): Delivery {
  const body = Buffer.from('{}');
  const headers = () => ({ 'x-id': deliveryId });
  return { source: 'shop', deliveryId, body, kind: 'valid', expected: 202, sends, headers };
}

describe('WebhookSender', () => {
  it('tries again with the same id after 503 and after a broken connection', async () => {
    const ids: unknown[] = [];
    const { url } = await serve((request, response) => {
      ids.push(request.headers['x-id']);
      if (ids.length === 1) response.writeHead(503, { 'retry-after': '0.01' }).end();
      else if (ids.length === 2) request.socket.destroy();
      else response.writeHead(202).end();
    });
    const ledger = new Ledger();
    const accepted: string[] = [];
    const onAccepted = (id: string) => accepted.push(id);
    const sender = new WebhookSender({ url, ledger, connections: 2, onAccepted });
    sender.send(delivery('a'), 0);
    await sender.drain();
    expect(ids).toEqual(['a', 'a', 'a']);
    expect(accepted).toEqual(['shop:a']);
    expect(ledger).toMatchObject({ sent: 1, unanswered: 0 });
    expect(ledger.kinds.get('valid')).toEqual({ right: 1, wrong: 0 });
  });

  it('keeps to its connections and uses them again', async () => {
    let open = 0;
    let most = 0;
    const { url, connections } = await serve((request, response) => {
      open += 1;
      most = Math.max(most, open);
      request.resume();
      setTimeout(() => {
        open -= 1;
        response.writeHead(202).end('accepted');
      }, 2);
    });
    const ledger = new Ledger();
    const sender = new WebhookSender({ url, ledger, connections: 4 });
    for (let i = 0; i < 200; i += 1) sender.send(delivery(`d${i}`), 0);
    await sender.drain();
    expect(ledger.accepted.size).toBe(200);
    expect(most).toBeLessThanOrEqual(4);
    expect(connections()).toBeLessThanOrEqual(8);
  });

  it('sends repeats when they are due, and forgets the others at the end', async () => {
    const { url } = await serve((_request, response) => response.writeHead(202).end());
    const ledger = new Ledger();
    const sender = new WebhookSender({ url, ledger, connections: 2 });
    sender.send(delivery('a', 3), 0);
    expect(sender.sendRepeats(0, 10)).toBe(0);
    expect(sender.sendRepeats(10_000, 1)).toBe(1);
    await sender.drain();
    expect(ledger).toMatchObject({ sent: 2, retries: 1 });
    expect(sender.sendRepeats(10_000, 10)).toBe(0);
    expect(ledger.accepted.size).toBe(1);
  });

  it('stops taking more when too many wait', async () => {
    const { url } = await serve((_request, response) => response.writeHead(202).end());
    const sender = new WebhookSender({ url, ledger: new Ledger(), connections: 1 });
    const before = sender.room;
    for (let i = 0; i < 100; i += 1) sender.send(delivery(`d${i}`), 0);
    expect(sender.room).toBeLessThan(before - 90);
    await sender.drain();
    expect(sender.room).toBe(before);
  });

  it('ends at once when it is abandoned, whatever still waits for an answer', async () => {
    const ledger = new Ledger();
    // A port that nobody listens on, and a server that never answers.
    const refusing = new WebhookSender({ url: 'http://127.0.0.1:1', ledger, connections: 2 });
    const { url } = await serve(() => undefined);
    const silent = new WebhookSender({ url, ledger, connections: 2 });
    for (const sender of [refusing, silent]) {
      for (let i = 0; i < 20; i += 1) sender.send(delivery(`d${i}`, 3), 0);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    const since = performance.now();
    refusing.abandon();
    silent.abandon();
    await Promise.all([refusing.drain(), silent.drain()]);
    expect(performance.now() - since).toBeLessThan(1_000);
    expect(ledger.sent).toBe(0);
  });
});
