import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import { ReachflowError } from '../runtime/errors.ts';
import { type EngineAccess, OPEN, type StackEndpoints } from './endpoints.ts';
import type { ComponentName } from './types.ts';

/** One check may take this long; whoever waits for a start repeats it. */
const CHECK_TIMEOUT_MS = 3_000;

/**
 * Ask one engine for real work: Kafka for its brokers, the registry for its subjects, Connect for its
 * connectors, Postgres and ClickHouse for a query, Elasticsearch for the state of its cluster.
 * @throws whatever went wrong; the engine is then not (yet) healthy.
 */
export async function checkHealth(
  component: ComponentName,
  endpoints: StackEndpoints,
  access: EngineAccess = OPEN,
): Promise<void> {
  const { headers } = access;
  switch (component) {
    case 'kafka':
      return checkKafka(endpoints.kafka.brokers, access.kafka);
    case 'registry':
      return checkJson(`${endpoints.registry.url}/subjects`, Array.isArray, headers.registry);
    case 'connect':
      return checkJson(`${endpoints.connect.url}/connectors`, Array.isArray, headers.connect);
    case 'postgres':
      return checkPostgres(endpoints.postgres.url);
    case 'clickhouse':
      return checkClickHouse(endpoints.clickhouse);
    case 'elasticsearch':
      return checkElasticsearch(endpoints.elasticsearch.url, headers.elasticsearch);
  }
}

/**
 * Send a Metadata request (version 4, no topics) of the Kafka protocol and expect at least one broker. Before a login a
 * broker answers nothing but ApiVersions (KIP-43): then that has to do. Only `runtime/kafka` may import the Kafka
 * client; one request is not worth a second one.
 * Source: https://kafka.apache.org/protocol#The_Messages_Metadata
 */
async function checkKafka(
  brokers: readonly string[],
  { ssl, sasl }: EngineAccess['kafka'],
): Promise<void> {
  const [apiKey, version, body] = sasl === undefined ? METADATA : API_VERSIONS;
  const atLeast = sasl === undefined ? 12 : 10;
  let last: unknown;
  for (const broker of brokers) {
    const [, host, port] = /^(.*):(\d+)$/.exec(broker) ?? [];
    try {
      const socket = open(host ?? broker, Number(port ?? 9092), ssl);
      const answer = await exchange(socket, kafkaRequest(apiKey, version, body));
      // Correlation id and throttle time (4 each), or error code (2), then the array of brokers, or of APIs.
      if (answer.length < atLeast || answer.readInt32BE(atLeast - 4) < 1)
        throw notReady('no broker is registered');
      return;
    } catch (error) {
      last = error;
    }
  }
  throw last ?? notReady('no broker is configured');
}

/** API key, version and body: no topics, create none. */
const METADATA = [3, 4, Buffer.from([0, 0, 0, 0, 0])] as const;
const API_VERSIONS = [18, 0, Buffer.alloc(0)] as const;

function kafkaRequest(apiKey: number, version: number, body: Buffer): Buffer {
  const clientId = Buffer.from('reachflow');
  const header = Buffer.alloc(4 + 2 + 2 + 4 + 2);
  let at = header.writeInt32BE(header.length - 4 + clientId.length + body.length, 0);
  at = header.writeInt16BE(apiKey, at);
  at = header.writeInt16BE(version, at);
  at = header.writeInt32BE(1, at); // correlation id
  header.writeInt16BE(clientId.length, at);
  return Buffer.concat([header, clientId, body]);
}

function open(host: string, port: number, ssl: EngineAccess['kafka']['ssl']): Socket {
  if (ssl === false) return connectSocket({ host, port });
  // The name that the certificate has to have: an address is none (RFC 6066).
  return connectTls({ ...ssl, host, port, ...(isIP(host) === 0 ? { servername: host } : {}) });
}

/** Send one length-prefixed request and read one length-prefixed answer (without its length). */
function exchange(socket: Socket, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(CHECK_TIMEOUT_MS, () => fail(notReady('no answer in time')));
    socket.once('error', fail);
    socket.once('end', () => fail(notReady('the connection was closed')));
    socket.write(request);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.destroy();
      resolve(received.subarray(4));
    });
  });
}

async function checkJson(
  url: string,
  isExpected: (body: unknown) => boolean,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
  const body = await response.text();
  if (!response.ok) throw notReady(`HTTP ${response.status} from ${url}`);
  if (!isExpected(JSON.parse(body))) throw notReady(`unexpected answer from ${url}`);
}

async function checkPostgres(url: string): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CHECK_TIMEOUT_MS,
    query_timeout: CHECK_TIMEOUT_MS,
  });
  client.on('error', () => undefined); // A connection lost while closing; the query's own failure is thrown.
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function checkClickHouse(clickhouse: StackEndpoints['clickhouse']): Promise<void> {
  const headers = {
    'X-ClickHouse-User': clickhouse.username,
    'X-ClickHouse-Key': clickhouse.password,
  };
  const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  const ping = await fetch(`${clickhouse.url}/ping`, { signal });
  await ping.text();
  const query = await fetch(`${clickhouse.url}/?query=SELECT%201`, { headers, signal });
  const answer = await query.text();
  if (!ping.ok || !query.ok) throw notReady(`HTTP ${query.status}: ${answer.slice(0, 200)}`);
}

async function checkElasticsearch(
  url: string,
  headers: Readonly<Record<string, string>> | undefined,
): Promise<void> {
  const isUsable = (body: unknown): boolean => {
    const status = typeof body === 'object' && body !== null && 'status' in body && body.status;
    return status === 'green' || status === 'yellow';
  };
  await checkJson(`${url}/_cluster/health`, isUsable, headers);
}

function notReady(reason: string): ReachflowError {
  return new ReachflowError(`Not ready: ${reason}`, {
    code: 'STACK_NOT_READY',
    domain: 'external',
    retry: 'backoff',
  });
}
