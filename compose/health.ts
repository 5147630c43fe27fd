import { connect as connectSocket } from 'node:net';
import pg from 'pg';
import { ReachflowError } from '../runtime/errors.ts';
import type { StackEndpoints } from './endpoints.ts';
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
): Promise<void> {
  switch (component) {
    case 'kafka':
      return checkKafka(endpoints.kafka.brokers);
    case 'registry':
      return checkJson(`${endpoints.registry.url}/subjects`, Array.isArray);
    case 'connect':
      return checkJson(`${endpoints.connect.url}/connectors`, Array.isArray);
    case 'postgres':
      return checkPostgres(endpoints.postgres.url);
    case 'clickhouse':
      return checkClickHouse(endpoints.clickhouse);
    case 'elasticsearch':
      return checkElasticsearch(endpoints.elasticsearch.url);
  }
}

/**
 * Send a Metadata request (version 4, no topics) of the Kafka protocol and expect at least one broker. Only
 * `runtime/kafka` may import the Kafka client; one request is not worth a second one.
 * Source: https://kafka.apache.org/protocol#The_Messages_Metadata
 */
async function checkKafka(brokers: readonly string[]): Promise<void> {
  let last: unknown;
  for (const broker of brokers) {
    const [, host, port] = /^(.*):(\d+)$/.exec(broker) ?? [];
    try {
      const answer = await exchange(host ?? broker, Number(port ?? 9092), metadataRequest());
      // Correlation id (4), throttle time (4), then the array of brokers.
      if (answer.length < 12 || answer.readInt32BE(8) < 1)
        throw notReady('no broker is registered');
      return;
    } catch (error) {
      last = error;
    }
  }
  throw last ?? notReady('no broker is configured');
}

function metadataRequest(): Buffer {
  const clientId = Buffer.from('reachflow');
  const body = Buffer.alloc(4 + 2 + 2 + 4 + 2 + clientId.length + 4 + 1);
  let at = body.writeInt32BE(body.length - 4, 0);
  at = body.writeInt16BE(3, at); // API key: Metadata
  at = body.writeInt16BE(4, at); // API version
  at = body.writeInt32BE(1, at); // correlation id
  at = body.writeInt16BE(clientId.length, at);
  at += clientId.copy(body, at);
  at = body.writeInt32BE(0, at); // no topics
  body.writeInt8(0, at); // create none
  return body;
}

/** Send one length-prefixed request and read one length-prefixed answer (without its length). */
function exchange(host: string, port: number, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host, port });
    let received = Buffer.alloc(0);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(CHECK_TIMEOUT_MS, () => fail(notReady('no answer in time')));
    socket.once('error', fail);
    socket.once('end', () => fail(notReady('the connection was closed')));
    socket.once('connect', () => socket.write(request));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.destroy();
      resolve(received.subarray(4));
    });
  });
}

async function checkJson(url: string, isExpected: (body: unknown) => boolean): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
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

async function checkElasticsearch(url: string): Promise<void> {
  await checkJson(`${url}/_cluster/health`, (body) => {
    const status = typeof body === 'object' && body !== null && 'status' in body && body.status;
    return status === 'green' || status === 'yellow';
  });
}

function notReady(reason: string): ReachflowError {
  return new ReachflowError(`Not ready: ${reason}`, {
    code: 'STACK_NOT_READY',
    domain: 'external',
    retry: 'backoff',
  });
}
