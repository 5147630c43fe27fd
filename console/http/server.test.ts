import type { FastifyInstance, InjectOptions } from 'fastify';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { charts } from '../../dashboards/charts.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { clickhouseConfigSchema } from '../../sinks/clickhouse/config.ts';
import { ChartPolls } from '../charts/polls.ts';
import { Warehouse } from '../charts/warehouse.ts';
import { consoleConfigSchema } from '../config.ts';
import type { ConsoleDeps } from '../deps.ts';
import { LetterDesk } from '../letters/desk.ts';
import { PipelineWatch } from '../pipelines/watch.ts';
import { EventStreams } from './event-stream.ts';
import { buildConsoleServer } from './server.ts';

const OPERATOR = 'operator-token-0123456789abcdef';
const ACME = 'acme-token-0123456789abcdef';
const TWO = 'two-tenants-token-0123456789abcdef';
const VIEWERS = {
  ops: { tokens: [OPERATOR], tenants: '*', role: 'operator' },
  acme: { tokens: [ACME], tenants: ['acme'] },
  two: { tokens: [TWO], tenants: ['acme', 'globex'] },
};
const logger = pino({ level: 'silent' });
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** The real server; behind it are engines that do not answer. */
async function server(viewers: Record<string, unknown> = VIEWERS): Promise<FastifyInstance> {
  const config = consoleConfigSchema.parse({ viewers });
  const client = createKafkaClient(kafkaConfigSchema.parse({ brokers: ['127.0.0.1:9'] }), logger);
  const codec = new TopicCodec(
    createSchemaRegistryClient('http://127.0.0.1:9/apis'),
    client.physical,
  );
  const clickhouse = clickhouseConfigSchema.parse({ url: 'http://127.0.0.1:9' });
  const parts = { connectors: [], pipelines: [], sinks: [] };
  const readStatus = () => Promise.reject(new Error('nobody is asked here'));
  const deps: ConsoleDeps = {
    ...{ config, client, codec, clickhouse, logger, charts, parts, readStatus },
    ...{ optional: [], version: '0', namespace: 'test' },
  };
  const warehouse = new Warehouse(clickhouse, config);
  const consumers = { pipelines: [], sinks: [] };
  const app = await buildConsoleServer({
    ...{ deps, warehouse, polls: new ChartPolls(warehouse, config) },
    watch: new PipelineWatch({ client, parts, readStatus, config }),
    desk: new LetterDesk({ client, codec, config, consumers }),
    streams: new EventStreams(config),
  });
  closing.push(
    () => app.close(),
    () => warehouse.close(),
  );
  return app;
}

async function asked(app: FastifyInstance, url: string, token?: string, more: InjectOptions = {}) {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const headers = { ...authorization, ...more.headers };
  const response = await app.inject({ ...more, url, headers });
  const isJson = response.headers['content-type']?.includes('json') === true;
  return { response, status: response.statusCode, body: isJson ? response.json() : undefined };
}

const redrive = (headers: Record<string, string>): InjectOptions => ({
  method: 'POST',
  headers,
  payload: JSON.stringify({ fingerprint: '0123456789ab' }),
});
const JSON_TYPE = { 'content-type': 'application/json' };

describe('access', () => {
  it('answers nobody without a token of its viewers, and takes none from the query', async () => {
    const app = await server();
    for (const url of ['/api/session', '/api/charts/events', '/api/letters', '/api/pipelines']) {
      expect(await asked(app, url)).toMatchObject({ status: 401, body: { code: 'TOKEN_INVALID' } });
      expect((await asked(app, url, 'wrong-token-0123456789abcdef')).status).toBe(401);
      expect((await asked(app, `${url}?access_token=${OPERATOR}`)).status).toBe(401);
    }
    expect((await asked(app, '/api/session', OPERATOR)).status).toBe(200);
  });

  it('refuses charts of another tenant, and of all, to who has one', async () => {
    const app = await server();
    const of = (query: string, token: string) =>
      asked(app, `/api/charts/events?tenant=${query}`, token);
    expect(await of('globex', ACME)).toMatchObject({
      status: 403,
      body: { code: 'TENANT_FORBIDDEN' },
    });
    expect((await of('', TWO)).status).toBe(403);
    // It gets so far as to ask ClickHouse.
    for (const answered of [of('acme', ACME), of('', ACME), of('globex', TWO), of('', OPERATOR)]) {
      expect(await answered).toMatchObject({
        status: 200,
        body: { problem: { code: 'CLICKHOUSE_UNAVAILABLE' } },
      });
    }
    expect((await asked(app, '/api/charts/stream?tenant=globex', ACME)).status).toBe(403);
    expect((await asked(app, '/api/tenants', TWO)).body).toEqual({ tenants: ['acme', 'globex'] });
  });

  it('keeps the pipelines and what changes something for operators', async () => {
    const app = await server();
    expect((await asked(app, '/api/pipelines', ACME)).body.code).toBe('OPERATORS_ONLY');
    expect((await asked(app, '/api/pipelines/stream', ACME)).status).toBe(403);
    for (const url of ['/api/letters/redrive', '/api/letters/drop']) {
      expect((await asked(app, url, ACME, redrive(JSON_TYPE))).body.code).toBe('OPERATORS_ONLY');
    }
  });

  it('takes changes from its own page alone', async () => {
    const app = await server();
    const foreign = [
      { 'content-type': 'text/plain' },
      { ...JSON_TYPE, 'sec-fetch-site': 'cross-site' },
      { ...JSON_TYPE, 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      const { status } = await asked(app, '/api/letters/drop', OPERATOR, redrive(headers));
      expect([403, 415]).toContain(status);
    }
    // No preflight is answered: a page of another origin cannot send JSON or a token at all.
    const preflight = await asked(app, '/api/letters/drop', undefined, { method: 'OPTIONS' });
    expect(preflight.response.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('is open to this machine without viewers, by no other name', async () => {
    const app = await server({});
    expect((await asked(app, '/api/session')).body).toMatchObject({
      ...{ isOpen: true, isOperator: true, tenants: '*' },
    });
    const rebound = { headers: { host: 'evil.example:8088' } };
    for (const url of ['/', '/api/session', '/api/letters']) {
      expect((await asked(app, url, undefined, rebound)).status).toBe(403);
    }
  });
});

describe('the page', () => {
  it('is of this origin alone, and nothing of it is inline', async () => {
    const app = await server();
    const { response, status } = await asked(app, '/');
    expect(status).toBe(200);
    const policy = String(response.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(response.body).not.toMatch(/<script>|<style|\son\w+=|https?:\/\//);
    for (const [, path = ''] of response.body.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      expect((await asked(app, path)).status, path).toBe(200);
    }
  });

  it('hands out its own files alone', async () => {
    const app = await server();
    for (const path of ['/../console.ts', '/..%2fconfig.ts', '/tsconfig.json', '/package.json']) {
      expect((await asked(app, path)).status, path).toBeGreaterThanOrEqual(400);
    }
  });
});

describe('input', () => {
  it.each([
    '/api/charts/events?range=1y',
    '/api/charts/events?sql=SELECT',
    '/api/letters?limit=0',
    '/api/letters?limit=1e9',
    '/api/letters/x.dlq/-1/0',
    '/api/letters/x.dlq/0/1.5',
  ])('%s is refused with what is wrong', async (url) => {
    const { status, body } = await asked(await server(), url, OPERATOR);
    expect(status).toBe(400);
    expect(body.code).toBe('QUERY_INVALID');
  });

  it('says that brokers are away, as something to try again', async () => {
    const { status, body } = await asked(await server(), '/api/letters', OPERATOR);
    expect({ status, code: body.code }).toEqual({ status: 503, code: 'KAFKA_UNAVAILABLE' });
  });
});
