import { gzipSync } from 'node:zlib';
import { CloudEvent, HTTP } from 'cloudevents';
import fc from 'fast-check';
import type { LightMyRequestResponse } from 'fastify';
import { beforeEach, describe, expect, it } from 'vitest';
import type { WebhookConfig } from './config.ts';
import {
  createMemoryPublisher,
  type MemoryPublisher,
  NOW,
  SECRET,
  serverDeps,
} from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';
import { buildWebhookServer } from './server.ts';

let publisher: MemoryPublisher;
beforeEach(() => {
  publisher = createMemoryPublisher();
});

interface Sent {
  readonly source?: string;
  readonly deliveryId?: string;
  readonly headers?: Record<string, string>;
  readonly config?: Partial<WebhookConfig>;
}

/** Posts a body, signed with `hmac`. */
async function post(body: string | Buffer, sent: Sent = {}): Promise<LightMyRequestResponse> {
  const { source = 'shop', deliveryId = 'd-1', headers = {}, config = {} } = sent;
  const signing = { secret: SECRET, deliveryId, eventType: 'order.paid', timestampMs: NOW };
  return await buildWebhookServer(serverDeps(publisher, config)).inject({
    method: 'POST',
    url: `/webhooks/ingest/${source}`,
    headers: { ...signHmac({ ...signing, body }), ...headers },
    payload: body,
  });
}

const stored = () =>
  publisher.published.map(({ key, value }) => [value.delivery_id, key, value.payload]);

const NDJSON = { 'content-type': 'application/x-ndjson' };
const CE = { 'content-type': 'application/cloudevents+json; charset=utf-8' };
const CE_BATCH = { 'content-type': 'application/cloudevents-batch+json' };

describe('a JSON array', () => {
  it('is one event for each element, as it stands, told apart by its place', async () => {
    const body = '[ {"id":1, "n": 1.00},\n{"id":"a]\\"[,"} , 12345678901234567890 ]';
    const response = await post(body);
    expect(response.statusCode).toBe(202);
    expect(response.json()).toEqual({
      status: 'accepted',
      accepted: 3,
      event_ids: ['shop:d-1#0', 'shop:d-1#1', 'shop:d-1#2'],
    });
    expect(stored()).toEqual([
      ['d-1#0', 'acme:1', '{"id":1, "n": 1.00}'],
      ['d-1#1', 'acme:a]"[,', '{"id":"a]\\"[,"}'],
      ['d-1#2', 'acme:order.paid', '12345678901234567890'],
    ]);
  });

  it('has the texts of its elements, whatever they are', async () => {
    const element = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.constantFrom(undefined, 1))
      .map(([json, indent]) => JSON.stringify(JSON.parse(json), undefined, indent));
    const space = fc.constantFrom('', ' ', '\n\t ');
    await fc.assert(
      fc.asyncProperty(fc.array(element, { maxLength: 8 }), space, async (elements, gap) => {
        publisher.published.length = 0;
        const body = `${gap}[${gap}${elements.join(`${gap},${gap}`)}${gap}]${gap}`;
        expect((await post(body)).statusCode).toBe(202);
        expect(publisher.published.map(({ value }) => value.payload)).toEqual(elements);
      }),
      { numRuns: 200 },
    );
  });

  it('names its events by their own ids where the source says where these are', async () => {
    const body = '[{"event_id":"e-1"},{"event_id":2}]';
    await post(body, { source: 'named', deliveryId: 'first' });
    await post('[{"event_id":2}]', { source: 'named', deliveryId: 'cut-otherwise' });
    await post('{"event_id":2}', { source: 'named', deliveryId: 'alone' });
    expect(publisher.published.map(({ value }) => value.event_id)).toEqual([
      'named:e-1',
      'named:2',
      'named:2',
      'named:2',
    ]);
    const without = await post('{"id":2}', { source: 'named' });
    expect(without.json()).toMatchObject({ status: 400, code: 'EVENT_ID_MISSING' });
  });

  it('is one event where the source says so', async () => {
    expect((await post('[1,2]', { source: 'whole' })).json()).toEqual({
      status: 'accepted',
      event_id: 'whole:d-1',
    });
    expect(stored()).toEqual([['d-1', 'acme:order.paid', '[1,2]']]);
  });

  it('may be empty, and has a bound', async () => {
    expect((await post('[]')).json()).toEqual({ status: 'accepted', accepted: 0, event_ids: [] });
    const config = { maxBatchEvents: 3 };
    expect((await post('[1,2,3]', { config })).statusCode).toBe(202);
    const refused = await post('[1,2,3,4]', { config });
    expect(refused.json()).toMatchObject({ status: 413, code: 'BATCH_TOO_LARGE', limit_events: 3 });
    const lines = await post('1\n2\n3\n4', { headers: NDJSON, config });
    expect(lines.json()).toMatchObject({ status: 413, code: 'BATCH_TOO_LARGE' });
    expect(publisher.published).toHaveLength(3);
  });

  it('is accepted only when all of it is stored', async () => {
    const failing = createMemoryPublisher();
    let calls = 0;
    const inner = failing.publish.bind(failing);
    failing.publish = async (topic, record) => {
      calls += 1;
      if (calls === 2) throw new Error('the second is lost');
      await inner(topic, record);
    };
    publisher = failing;
    const response = await post('[1,2,3]');
    expect(response.statusCode).toBe(500);
    expect(calls).toBe(3);
  });
});

describe('NDJSON', () => {
  it('is an event a line; empty lines are none', async () => {
    const body = '{"id":1}\r\n\n  {"id":2} \n \n{"id":3}';
    expect((await post(body, { headers: NDJSON })).json()).toMatchObject({ accepted: 3 });
    expect(stored()).toEqual([
      ['d-1#0', 'acme:1', '{"id":1}'],
      ['d-1#1', 'acme:2', '{"id":2}'],
      ['d-1#2', 'acme:3', '{"id":3}'],
    ]);
    expect((await post('\n', { headers: NDJSON })).json()).toMatchObject({ accepted: 0 });
  });

  it('with a broken line is refused as a whole, and says which and where', async () => {
    const body = '{"id":1}\n{"é":}\n{"id":3}\n"\n';
    const response = await post(body, { headers: NDJSON });
    expect(response.json()).toMatchObject({
      status: 400,
      code: 'BATCH_INVALID',
      refused: 2,
      events: [
        {
          index: 1,
          code: 'JSON_INVALID',
          detail: expect.stringContaining('line 2, column 6 (byte 15)'),
          position: { line: 2, column: 6, byte: 15 },
        },
        { index: 3, code: 'JSON_INVALID', position: { line: 4, column: 2, byte: 27 } },
      ],
    });
    expect(publisher.published).toEqual([]);
  });
});

describe('a batch with an invalid event', () => {
  const body = '[{"tenant":"a"},{"tenant":"b:c"},{"tenant":"d"}]';
  const prefer = (handling: string) => ({ prefer: `respond-async, handling=${handling}` });

  it('is stored without it where the source or the request asks for that', async () => {
    const response = await post(body, { source: 'lenient' });
    expect(response.statusCode).toBe(207);
    expect(response.headers['preference-applied']).toBe('handling=lenient');
    expect(response.json()).toMatchObject({
      status: 'partial',
      accepted: 2,
      event_ids: ['lenient:d-1#0', 'lenient:d-1#2'],
      refused: 1,
      events: [{ index: 1, code: 'TENANT_MISSING' }],
    });
    expect(publisher.published).toHaveLength(2);
    const strict = await post(body, { source: 'lenient', headers: prefer('strict') });
    expect(strict.json()).toMatchObject({ status: 400, code: 'BATCH_INVALID' });
    const lines = { ...NDJSON, ...prefer('lenient') };
    expect((await post('1\n{', { headers: lines })).statusCode).toBe(207);
    expect(publisher.published).toHaveLength(3);
  });

  it('is refused, however lenient, when there is no valid one', async () => {
    const response = await post('[{},{}]', { source: 'lenient' });
    expect(response.json()).toMatchObject({ status: 400, code: 'BATCH_INVALID', refused: 2 });
  });

  it('lists a hundred, and counts all', async () => {
    const many = JSON.stringify(Array.from({ length: 250 }, () => ({})));
    const problem = (await post(many, { source: 'multi' })).json();
    expect(problem).toMatchObject({ refused: 250 });
    expect(problem.events).toHaveLength(100);
  });
});

describe('CloudEvents', () => {
  const event = {
    specversion: '1.0',
    id: 'A 1',
    source: '/orders',
    type: 'order.paid.v2',
    subject: 'order-7',
    time: '2026-01-15T11:59:58.5Z',
    data: { total: 1 },
  };

  it('structured: stored whole, named by source and id, about its subject', async () => {
    const body = JSON.stringify(event, undefined, 1);
    expect((await post(body, { headers: CE })).json()).toEqual({
      status: 'accepted',
      event_id: 'shop:/orders#A%201',
    });
    expect(publisher.published[0]).toMatchObject({
      key: 'acme:order-7',
      value: { event_type: 'order.paid.v2', occurred_at: NOW - 1_500, payload: body },
    });
  });

  it('structured: what is about the payload is looked for in data, the tenant outside of it, too', async () => {
    const { subject: _subject, ...rest } = event;
    const inside = { ...rest, data: { id: 7, tenant: 'inner' } };
    const outside = { ...rest, tenant: 'extension', data: { id: 8 } };
    const headers = CE;
    await post(JSON.stringify(inside), { source: 'lenient', headers });
    await post(JSON.stringify(outside), { source: 'lenient', headers });
    expect(publisher.published.map(({ key }) => key)).toEqual(['inner:7', 'extension:8']);
  });

  it('batched: one record an event, which a retry in another batch does not change', async () => {
    const second = { ...event, id: 'B', subject: 'order-8' };
    const both = await post(JSON.stringify([event, second]), { headers: CE_BATCH });
    expect(both.json()).toEqual({
      status: 'accepted',
      accepted: 2,
      event_ids: ['shop:/orders#A%201', 'shop:/orders#B'],
    });
    const again = await post(JSON.stringify([second]), { headers: CE_BATCH, deliveryId: 'd-2' });
    expect(again.json()).toMatchObject({ event_ids: ['shop:/orders#B'] });
    const alone = await post(JSON.stringify(event), { headers: CE_BATCH });
    expect(alone.json()).toMatchObject({ code: 'BATCH_NOT_AN_ARRAY' });
  });

  it('binary: as the official library sends it, stored in the form of the others', async () => {
    const message = HTTP.binary(new CloudEvent({ ...event, tenantid: 'globex' }));
    const response = await post(String(message.body), {
      headers: message.headers as Record<string, string>,
    });
    // Its headers are not signed, the delivery's id is.
    expect(response.json()).toEqual({ status: 'accepted', event_id: 'shop:d-1' });
    const { key, value } = publisher.published[0] ?? {};
    expect(key).toBe('acme:order-7');
    expect(JSON.parse(value?.payload ?? '')).toEqual({
      ...event,
      time: '2026-01-15T11:59:58.500Z',
      tenantid: 'globex',
      datacontenttype: 'application/json; charset=utf-8',
    });
  });

  it.each([
    ['application/json', '{"big":12345678901234567890}', '"data":{"big":12345678901234567890}}'],
    ['text/plain', 'some "text"', '"data":"some \\"text\\""}'],
    ['application/octet-stream', '\u0000\u0001', '"data_base64":"AAE="}'],
  ])('binary: data that is %s', async (type, body, end) => {
    const headers = {
      'content-type': type,
      'ce-specversion': '1.0',
      'ce-id': 'x',
      'ce-source': '/s',
      'ce-type': 't%20t',
    };
    expect((await post(body, { headers })).statusCode).toBe(202);
    expect(publisher.published[0]?.value).toMatchObject({ event_type: 't t' });
    expect(publisher.published[0]?.value.payload.endsWith(end)).toBe(true);
  });

  it('binary: is not larger as JSON than a body may be', async () => {
    const headers = {
      'content-type': 'text/plain',
      'ce-specversion': '1.0',
      'ce-id': 'x',
      'ce-source': '/s',
      'ce-type': 't',
    };
    const config = { bodyLimitBytes: 1_000 };
    expect((await post('x'.repeat(800), { headers, config })).statusCode).toBe(202);
    const refused = await post('\u0001'.repeat(800), { headers, config });
    expect(refused.json()).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
  });

  it.each([
    ['no object', '7'],
    ['another version', JSON.stringify({ ...event, specversion: '0.3' })],
    ['no id', JSON.stringify({ ...event, id: undefined })],
    ['an empty type', JSON.stringify({ ...event, type: '' })],
    ['a time that is none', JSON.stringify({ ...event, time: 'yesterday' })],
    ['a name that is none', JSON.stringify({ ...event, tenant_id: 'x' })],
    ['a name of an object of ours', `{"__proto__":{},${JSON.stringify(event).slice(1)}`],
    ['a name of a method of the library', JSON.stringify({ ...event, validate: 'x' })],
    ['an object as an attribute', JSON.stringify({ ...event, ext: { a: 1 } })],
  ])('with %s is refused', async (_what, body) => {
    const response = await post(body, { headers: CE });
    expect(response.json()).toMatchObject({ status: 400, code: 'CLOUDEVENT_INVALID' });
    expect(publisher.published).toEqual([]);
  });

  it('in another format than JSON are refused', async () => {
    const headers = { 'content-type': 'application/cloudevents+avro' };
    expect((await post('x', { headers })).json()).toMatchObject({
      status: 415,
      code: 'MEDIA_TYPE_UNSUPPORTED',
    });
  });

  it('with ids that cannot be delivery ids have hashes of their own', async () => {
    const ids = ['é', 'x'.repeat(300), 'x'.repeat(301), '#', '%23'];
    const events = ids.map((id) => ({ ...event, id }));
    const body = JSON.stringify(events);
    const { event_ids: found } = (await post(body, { headers: CE_BATCH })).json();
    expect(new Set(found).size).toBe(ids.length);
    for (const id of found) expect(id).toMatch(/^shop:[\x21-\x7e]{1,200}$/);
  });
});

describe('a compressed body', () => {
  const GZIP = { 'content-encoding': 'gzip' };

  it('is signed as it is sent, and stored as it was', async () => {
    const text = JSON.stringify({ id: 1, text: 'é'.repeat(10_000) });
    const response = await post(gzipSync(text), { headers: GZIP });
    expect(response.statusCode).toBe(202);
    expect(publisher.published[0]?.value.payload).toBe(text);
    const lines = await post(gzipSync('1\n2'), { headers: { ...GZIP, ...NDJSON } });
    expect(lines.json()).toMatchObject({ accepted: 2 });
  });

  it('may not become larger than a body may be, and never is in memory', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000, 0x20), { level: 9 });
    expect(bomb.length).toBeLessThan(400_000);
    const before = process.memoryUsage().arrayBuffers;
    const response = await post(bomb, { headers: GZIP });
    expect(response.json()).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000);
    expect(publisher.published).toEqual([]);
  });

  it.each([
    [{ 'content-encoding': 'br' }, '{}', 415, 'ENCODING_UNSUPPORTED'],
    [{ 'content-encoding': 'gzip, gzip' }, '{}', 415, 'ENCODING_UNSUPPORTED'],
    [GZIP, '{}', 400, 'GZIP_INVALID'],
    [GZIP, '', 400, 'GZIP_INVALID'],
    [GZIP, gzipSync('{"id":1}').subarray(0, -3), 400, 'GZIP_INVALID'],
    [GZIP, gzipSync('{'), 400, 'JSON_INVALID'],
  ])('with the headers %j that is not what they say', async (headers, body, status, code) => {
    const response = await post(body, { headers });
    expect(response.json()).toMatchObject({ status, code });
    if (status === 415) expect(response.headers['accept-encoding']).toBe('gzip, identity');
    expect(publisher.published).toEqual([]);
  });

  it('counts against the memory for bodies', async () => {
    const config = { maxBufferedBytes: 1_000 };
    const body = gzipSync(JSON.stringify('x'.repeat(2_000)));
    const response = await post(body, { headers: GZIP, config });
    expect(response.json()).toMatchObject({ status: 503, code: 'OVERLOADED' });
  });
});
