import { InMemorySpanExporter, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { observabilityConfigSchema } from './config.ts';
import { carriedTrace, extractTrace, traceHeaders } from './trace-context.ts';
import { createTracing, MAX_TRACED_RECORDS, noTracing } from './tracing.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const SAMPLED = `00-${TRACE}-${SPAN}-01`;

function traced(ratio = 1) {
  const exporter = new InMemorySpanExporter();
  // Shutting down would forget them.
  const kept: SpanExporter = {
    export: (spans, done) => exporter.export(spans, done),
    shutdown: async () => undefined,
  };
  const tracing = createTracing({
    config: observabilityConfigSchema.parse({ tracesSampleRatio: ratio }),
    version: '1',
    instance: 'i-1',
    logger: pino({ level: 'silent' }),
    exporter: kept,
  });
  return {
    tracing,
    spans: async () => {
      await tracing.close();
      return exporter.getFinishedSpans();
    },
  };
}

/** As a Kafka record has them. */
function bytes(headers: Readonly<Record<string, string>> | undefined): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, text]) => [name, Buffer.from(text)]),
  );
}

describe('trace context', () => {
  it('is read from the headers of records and of requests, with its state', () => {
    const headers = { traceparent: SAMPLED, tracestate: 'vendor=1,other=2' };
    for (const carrier of [headers, bytes(headers)]) {
      const context = extractTrace(carrier);
      expect(context).toMatchObject({ traceId: TRACE, spanId: SPAN, traceFlags: 1 });
      expect(context?.traceState?.get('other')).toBe('2');
      expect(carriedTrace(carrier)).toEqual(headers);
    }
  });

  it('is written as it was read', () => {
    const context = extractTrace({ traceparent: SAMPLED });
    if (context === undefined) throw new Error('no context');
    expect(traceHeaders(context)).toEqual({ traceparent: SAMPLED });
  });

  it.each([
    ['', 'empty'],
    [`00-${TRACE}-${SPAN}`, 'without flags'],
    [`00-${'0'.repeat(32)}-${SPAN}-01`, 'trace id zero'],
    [`00-${TRACE}-${'0'.repeat(16)}-01`, 'span id zero'],
    [`00-${TRACE.toUpperCase()}!-${SPAN}-01`, 'too long'],
    [`ff-${TRACE}-${SPAN}-01`, 'version ff'],
    ['x'.repeat(10_000), 'rubbish'],
  ])('is ignored when malformed: %s (%s)', (traceparent) => {
    expect(extractTrace({ traceparent })).toBeUndefined();
  });

  it('is carried only when somebody records it', () => {
    expect(carriedTrace({})).toBeUndefined();
    expect(carriedTrace({ traceparent: `00-${TRACE}-${SPAN}-00` })).toBeUndefined();
    // Sampled and random: level 2 of the standard.
    expect(carriedTrace({ traceparent: `00-${TRACE}-${SPAN}-03` })).toBeDefined();
    const oversized = { traceparent: SAMPLED, tracestate: `a=${'b'.repeat(2_000)}` };
    expect(carriedTrace(oversized)).toEqual({ traceparent: SAMPLED });
  });
});

describe('tracing', () => {
  it('keeps one trace from the webhook through a step to the sink', async () => {
    const { tracing, spans } = traced();
    const request = tracing.request('POST /webhooks/ingest/github', {});
    request.end({ 'http.response.status_code': 202 });
    const epoch = tracing.batch('epoch events.webhooks', { 'reachflow.partition': 1 });
    const output = epoch.carry(bytes(request.headers));
    epoch.end({ 'reachflow.records': 1 });
    const write = tracing.batch('write postgres');
    write.carry(bytes(output));
    write.end();
    const all = await spans();
    const ofTrace = all.filter((span) => span.spanContext().traceId === request.traceId);
    expect(ofTrace.map(({ name }) => name)).toEqual([
      'POST /webhooks/ingest/github',
      'epoch events.webhooks',
      'write postgres',
    ]);
    const [first, second, third] = ofTrace;
    expect(second?.parentSpanContext?.spanId).toBe(first?.spanContext().spanId);
    expect(third?.parentSpanContext?.spanId).toBe(second?.spanContext().spanId);
    const own = all.find(
      ({ name, parentSpanContext }) =>
        name === 'epoch events.webhooks' && parentSpanContext === undefined,
    );
    expect(own?.attributes).toEqual({ 'reachflow.partition': 1, 'reachflow.records': 1 });
    expect(own?.links.map(({ context }) => context.spanId)).toEqual([second?.spanContext().spanId]);
    expect(second?.links.map(({ context }) => context.spanId)).toEqual([own?.spanContext().spanId]);
    expect(first?.resource.attributes).toMatchObject({
      'service.name': 'reachflow',
      'service.instance.id': 'i-1',
    });
  });

  it('gives a bounded number of records of a batch a span, and hands the others on', async () => {
    const { tracing, spans } = traced();
    const batch = tracing.batch('epoch p.s');
    const headers = { traceparent: Buffer.from(SAMPLED) };
    const carried = Array.from({ length: MAX_TRACED_RECORDS + 5 }, () => batch.carry(headers));
    batch.end();
    expect(carried.at(-1)).toEqual({ traceparent: SAMPLED });
    expect(carried[0]?.['traceparent']).not.toBe(SAMPLED);
    const all = await spans();
    expect(all).toHaveLength(MAX_TRACED_RECORDS + 1);
    expect(all.at(-1)?.links).toHaveLength(MAX_TRACED_RECORDS);
  });

  it('marks failures by their code, never by a message that may quote data', async () => {
    const { tracing, spans } = traced();
    const batch = tracing.batch('epoch p.s');
    batch.carry({ traceparent: SAMPLED });
    batch.fail(new ReachflowError('key "ann@example.com"', { code: 'X_1', domain: 'internal' }));
    tracing.request('POST /', {}).fail(new Error('ann@example.com'));
    const all = await spans();
    expect(all.map(({ status }) => [status.code, status.message])).toEqual([
      [2, 'X_1'],
      [2, 'X_1'],
      [2, 'UNEXPECTED'],
    ]);
    expect(JSON.stringify(all.map(({ attributes, events }) => [attributes, events]))).not.toContain(
      'ann@',
    );
  });

  it('records no traces that begin here at ratio 0, but goes on with recorded ones', async () => {
    const { tracing, spans } = traced(0);
    const request = tracing.request('POST /', {});
    expect(request).toMatchObject({ traceId: undefined, headers: undefined });
    request.end();
    const batch = tracing.batch('epoch p.s');
    expect(batch.traceId).toBeUndefined();
    expect(batch.carry({ traceparent: SAMPLED })?.['traceparent']).toContain(TRACE);
    batch.end();
    expect((await spans()).map((span) => span.spanContext().traceId)).toEqual([TRACE]);
  });

  it('lets a sender name its trace, but not have everything recorded', async () => {
    const all = traced(1).tracing.request('POST /', { traceparent: SAMPLED });
    expect(all.traceId).toBe(TRACE);
    const none = traced(0).tracing.request('POST /', { traceparent: SAMPLED });
    expect(none.headers).toBeUndefined();
  });

  it('does nothing without a collector, and hands on what others record', async () => {
    const off = createTracing({
      config: observabilityConfigSchema.parse({}),
      version: '1',
      instance: 'i',
      logger: pino({ level: 'silent' }),
    });
    expect(off).toBe(noTracing);
    const headers = { traceparent: SAMPLED };
    expect(off.batch('x').carry(headers)).toEqual(headers);
    expect(off.batch('x').carry({})).toBeUndefined();
    expect(off.request('x', headers).headers).toEqual(headers);
    await off.close();
  });

  it('closes in time when the collector does not answer, and says what was lost', async () => {
    const lines: string[] = [];
    const hanging: SpanExporter = {
      export: () => undefined,
      shutdown: () => new Promise(() => undefined),
    };
    const refusing: SpanExporter = {
      export: (_spans, done) => done({ code: 1, error: new Error('collector away') }),
      shutdown: async () => undefined,
    };
    for (const exporter of [hanging, refusing]) {
      const tracing = createTracing({
        config: observabilityConfigSchema.parse({ tracesSampleRatio: 1 }),
        version: '1',
        instance: 'i',
        logger: pino({}, { write: (line) => void lines.push(line) }),
        exporter,
      });
      tracing.batch('x').end();
      const began = performance.now();
      await tracing.close(200);
      expect(performance.now() - began).toBeLessThan(1_000);
    }
    expect(lines.join()).toContain('collector away');
  });
});
