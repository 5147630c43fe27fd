/**
 * Posts signed webhooks over keep-alive connections and prints what became of them, as JSON: a process of its own, so
 * that its CPU time is nobody else's. One argument: `LoadOptions` as JSON.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';

export interface LoadOptions {
  readonly url: string;
  readonly secret: string;
  readonly requests: number;
  readonly connections: number;
  /** Bytes of a body. */
  readonly bytes: number;
  /** Part of each delivery id. */
  readonly run: string;
  /** Requests per second, whether answers come or not; as fast as answers come when absent. */
  readonly rate?: number;
  /** Nothing is sent after as many seconds. */
  readonly seconds?: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** Answers by status; 0 is none. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Of requests answered with 202, ms; from when each was due. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  /** CPU time of this process while it sent, in cores: near 1 it is what is measured. */
  readonly cores: number;
}

const KEYS = 1_000;
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** One request's bytes: signed beforehand, since signing is the sender's work. */
function requestOf(options: LoadOptions, number: number): Buffer {
  const { url, secret, run, bytes } = options;
  const { host, pathname } = new URL(url);
  const start = JSON.stringify({ id: `order-${number % KEYS}`, n: number, total: 49.9 });
  const padding = 'x'.repeat(Math.max(0, bytes - start.length - 11));
  const body = `${start.slice(0, -1)},"text":"${padding}"}`;
  const signing = { secret, body, eventType: 'order.paid', timestampMs: Date.now() };
  const headers = signHmac({ ...signing, deliveryId: `${run}-${number}` });
  const head = { host, 'content-length': String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

/** A connection with one request at a time. */
class Client {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #answer: ((status: number) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#answer?.(0));
  }

  static async open(url: URL): Promise<Client> {
    const socket = connect(Number(url.port), url.hostname);
    await once(socket, 'connect');
    return new Client(socket);
  }

  /** The status; 0 when the connection ended without an answer. */
  post(request: Buffer): Promise<number> {
    if (this.#socket.destroyed) return Promise.resolve(0);
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf(END_OF_HEAD);
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#received.length < end + END_OF_HEAD.length + length) return;
    this.#received = Buffer.alloc(0);
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(Number(head.slice(9, 12)));
  }
}

async function run(options: LoadOptions): Promise<LoadResult> {
  const requests = Array.from({ length: options.requests }, (_, n) => requestOf(options, n));
  const url = new URL(options.url);
  const clients = await Promise.all(
    Array.from({ length: options.connections }, () => Client.open(url)),
  );
  const statuses: Record<string, number> = {};
  const latencies: number[] = [];
  const usedBefore = process.cpuUsage();
  const began = performance.now();
  const end = began + (options.seconds ?? Number.POSITIVE_INFINITY) * 1_000;
  let next = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (next < requests.length && performance.now() < end) {
        const number = next;
        next += 1;
        let due = performance.now();
        if (options.rate !== undefined) {
          due = began + (number * 1_000) / options.rate;
          const wait = due - performance.now();
          if (wait > 0) await delay(wait);
        }
        const status = await client.post(requests[number] ?? Buffer.alloc(0));
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (status === 202) latencies.push(performance.now() - due);
        if (status === 0) return;
      }
    }),
  );
  const seconds = (performance.now() - began) / 1_000;
  const used = process.cpuUsage(usedBefore);
  for (const client of clients) client.close();
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))] ?? 0;
  const cores = (used.user + used.system) / 1e6 / seconds;
  return { seconds, statuses, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1), cores };
}

const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions;
process.stdout.write(`${JSON.stringify(await run(options))}\n`);
