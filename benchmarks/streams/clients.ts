/**
 * Ten thousand clients in one process, told what to do over IPC. They speak just as much HTTP and WebSocket as it takes to count
 * and to time: what they cost shares the machine with what is measured.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientsMessage, type ClientsOrder, tenantOf, tokenOf } from './protocol.ts';

const CONNECTING = 100;
const TICK_MS = 10;
/** How long after the last record or message what is due may come, ms. */
const SETTLE_MS = 60_000;
/** Longer than what is looked for can be. */
const TAIL = 120;
const PADDING = 'x'.repeat(900);
/** In events the time of publication, in answers the time of sending, which is part of the id. */
const TIMES = { subscriptions: /"received_at":(\d+)/g, socket: /"id":"\d+-(\d+)","ok":true/g };

const latencies: number[] = [];
let lost = 0;

function say(message: ClientsMessage): void {
  process.send?.(message);
}

/** Counts what comes, wherever it is cut. */
function listen(socket: Socket, pattern: RegExp): void {
  let tail = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    const text = tail + part;
    let behind = 0;
    for (const match of text.matchAll(pattern)) {
      latencies.push(Date.now() - Number(match[1]));
      behind = match.index + match[0].length;
    }
    tail = text.slice(Math.max(behind, text.length - TAIL));
  });
}

async function open(order: ClientsOrder, number: number): Promise<Socket> {
  const tenant = tenantOf(number, order.tenants);
  const { hostname, port } = new URL(order.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  const isSse = order.kind === 'subscriptions' && number % 2 === 0;
  const path = order.kind === 'socket' ? `/ingest/${tenant}` : '/subscriptions/webhook.received';
  const upgrade =
    'upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokenOf(tenant)}\r\n${isSse ? 'accept: text/event-stream' : upgrade}\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  const status = head.toString('latin1', 9, 12);
  if (status !== (isSse ? '200' : '101')) throw new Error(`refused: ${head.toString()}`);
  socket.once('close', () => {
    lost += 1;
  });
  socket.on('error', () => undefined);
  listen(socket, TIMES[order.kind]);
  return socket;
}

/** A masked text frame; a mask of zeros leaves the text as it is. */
function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = 0x81;
  head[1] = 0x80 | 126;
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

async function send(order: ClientsOrder, sockets: readonly Socket[]): Promise<void> {
  const began = performance.now();
  for (let sent = 0; sent < order.messages; ) {
    const due = Math.min(
      order.messages,
      Math.floor(((performance.now() - began) * order.perSecond) / 1_000),
    );
    for (; sent < due; sent += 1) {
      const id = `${sent}-${Date.now()}`;
      const text = JSON.stringify({ id, type: 'benchmark', padding: PADDING });
      sockets[sent % sockets.length]?.write(frame(text));
    }
    await delay(TICK_MS);
  }
}

/** Waits for what is to come, within bounds. */
async function untilReceived(expected: number): Promise<void> {
  const deadline = performance.now() + SETTLE_MS;
  while (latencies.length < expected && performance.now() < deadline) await delay(50);
}

const [order] = (await once(process, 'message')) as [ClientsOrder];
const sockets: Socket[] = [];
for (let from = 0; from < order.connections; from += CONNECTING) {
  const count = Math.min(CONNECTING, order.connections - from);
  const opened = Array.from({ length: count }, (_, i) => open(order, from + i));
  sockets.push(...(await Promise.all(opened)));
}
const usedBefore = process.cpuUsage();
const began = performance.now();
say({ type: 'connected' });
if (order.kind === 'socket') {
  await send(order, sockets);
  await untilReceived(order.messages);
} else {
  const [expected] = (await once(process, 'message')) as [number];
  await untilReceived(expected);
}
const used = process.cpuUsage(usedBefore);
const cores = (used.user + used.system) / 1e3 / (performance.now() - began);
say({ type: 'report', report: { received: latencies.length, latencies, lost, cores } });
process.once('disconnect', () => process.exit(0));
