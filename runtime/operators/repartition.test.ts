import { InMemorySpanExporter, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { observabilityConfigSchema } from '../observability/config.ts';
import { createTracing } from '../observability/tracing.ts';
import { MemoryCodec } from '../testing/memory-codec.ts';
import { MemoryLog } from '../testing/memory-log.ts';
import { feed, openMemoryTask } from '../testing/memory-task.ts';
import { MINUTE, T0, webhook } from '../testing/samples.ts';
import { defineTopology } from '../topology/builder.ts';
import { type SubTopology, sourcesOf } from '../topology/graph.ts';
import { tumbling } from '../topology/windows.ts';

const counting = defineTopology('p', (t) => {
  const counts = t
    .stream('webhook.received')
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: MINUTE, graceMs: 0 }))
    .count('minute', { emit: 'update' });
  counts.late().ignore('not looked at here');
  counts.to('metric.tenant.count', {
    key: ({ key }) => key,
    value: ({ key, start, end, value }) => ({
      ...{ tenant_id: key, window_start: start, window_end: end, count: value },
      version: BigInt(value),
    }),
  });
});

function inMemory() {
  const exporter = new InMemorySpanExporter();
  // Shutting down would forget them.
  const kept: SpanExporter = {
    export: (spans, done) => exporter.export(spans, done),
    shutdown: async () => undefined,
  };
  const tracing = createTracing({
    config: observabilityConfigSchema.parse({ tracesSampleRatio: 0 }),
    ...{ version: '1', instance: 'i', logger: pino({ level: 'silent' }), exporter: kept },
  });
  return { tracing, exporter };
}

it('a trace goes on through a repartition topic: with the first traced one of the records packed there', async () => {
  const memory = await MemoryCodec.create();
  const { codec } = memory;
  const log = new MemoryLog(() => 1);
  const { tracing, exporter } = inMemory();
  const open = (sub: SubTopology) =>
    openMemoryTask({
      ...{ log, codec, pipeline: 'p', sub, partition: 0, tracing },
      ...{ tables: new Map(), channelsOf: () => 1, now: () => T0, maxEpochRecords: 1_000 },
    });
  const traceOf = (digit: string) => ({
    traceparent: `00-${digit.repeat(32)}-${digit.repeat(16)}-01`,
  });
  // Of tenant t neither the first nor the last is traced; of tenant u none is.
  for (const [id, tenant_id, headers] of [
    ['1', 't', {}],
    ['2', 't', traceOf('a')],
    ['3', 't', traceOf('b')],
    ['4', 't', {}],
    ['5', 'u', {}],
  ] as const) {
    const value = memory.encode('webhook.received', webhook({ event_id: id, tenant_id }));
    log.append('webhook.received', 0, { key: id, value, headers, timestamp: T0 });
  }
  for (const sub of counting.subTopologies) {
    const task = await open(sub);
    for (const { topic } of sourcesOf(sub)) await feed(task, log, topic);
  }
  const outputs = log.readTopic('metric.tenant.count').map(({ record }) => record);
  expect(outputs).toHaveLength(2);
  await tracing.close();
  const spans = exporter
    .getFinishedSpans()
    .filter((span) => span.spanContext().traceId === 'a'.repeat(32));
  const [upstream, downstream] = spans;
  expect(spans.map(({ name }) => name)).toEqual(
    counting.subTopologies.map(({ name }) => `epoch p.${name}`),
  );
  expect(upstream?.parentSpanContext?.spanId).toBe('a'.repeat(16));
  expect(downstream?.parentSpanContext?.spanId).toBe(upstream?.spanContext().spanId);
  const traceparent = `00-${'a'.repeat(32)}-${downstream?.spanContext().spanId}-01`;
  expect(String(outputs[0]?.headers['traceparent'])).toBe(traceparent);
});
