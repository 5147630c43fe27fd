import { hostname } from 'node:os';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import type { Logger } from 'pino';
import { errorCode } from '../errors.ts';
import type { ObservabilityConfig } from './config.ts';
import { loggedExporter } from './logged-exporter.ts';
import {
  type Carrier,
  carriedTrace,
  extractTrace,
  type TraceHeaders,
  traceHeaders,
} from './trace-context.ts';

/** One unit of work in a trace: an epoch, a batch of a sink, a request. Ends once, by `end` or `fail`. */
export interface Work {
  /** Of its own trace, for logs; undefined when it is not recorded. */
  readonly traceId: string | undefined;
  end(attributes?: Attributes): void;
  /** With the error's code; its message may quote data, and is left out. */
  fail(error: unknown): void;
}

/** Many records at once. */
export interface BatchWork extends Work {
  /**
   * Headers for what becomes of a record: its trace, continued below this work. Undefined for one that is not traced,
   * which costs one look at its headers. Records of one batch beyond a bound are handed on without a span of their own.
   */
  carry(headers: Carrier): TraceHeaders | undefined;
}

/** One request from outside. */
export interface RequestWork extends Work {
  /** For the records that it is published as; undefined when it is not recorded. */
  readonly headers: TraceHeaders | undefined;
}

/** Traces of one process, handed through the runtime; nothing of it is global. */
export interface Tracing {
  readonly enabled: boolean;
  /** An epoch (`epoch events.webhooks`) or a batch of a sink (`write postgres`). */
  batch(name: string, attributes?: Attributes): BatchWork;
  /**
   * A request from outside, in the sender's trace if it names one. Whether that is recorded is decided by our ratio,
   * too: one that has all of its requests recorded would have all of ours recorded.
   */
  request(name: string, headers: Carrier, attributes?: Attributes): RequestWork;
  /** Sends what is left, within `timeoutMs`. Idempotent; does not throw. */
  close(timeoutMs?: number): Promise<void>;
}

/** Records of one batch that get a span of their own, at most. */
export const MAX_TRACED_RECORDS = 32;

const UNTRACED: BatchWork & RequestWork = {
  traceId: undefined,
  headers: undefined,
  carry: carriedTrace,
  end() {},
  fail() {},
};

/** Records nothing; hands on the traces of others. */
export const noTracing: Tracing = {
  enabled: false,
  batch: () => UNTRACED,
  request(_name, headers) {
    const carried = carriedTrace(headers);
    return carried === undefined ? UNTRACED : { ...UNTRACED, headers: carried };
  },
  close: async () => undefined,
};

export interface TracingOptions {
  readonly config: Pick<
    ObservabilityConfig,
    'tracesUrl' | 'tracesAuthorization' | 'tracesSampleRatio' | 'serviceName'
  >;
  readonly version: string;
  /** Random, of this start of the process. */
  readonly instance: string;
  readonly logger: Logger;
  /** Instead of OTLP. */
  readonly exporter?: SpanExporter;
}

const EXPORT_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;

/** Traces to `observability.tracesUrl`; `noTracing` when there is none. Connects to nothing before the first spans. */
export function createTracing(options: TracingOptions): Tracing {
  const { config, version, instance, logger } = options;
  const exporter = options.exporter ?? otlpExporter(options);
  if (exporter === undefined) return noTracing;
  const ratio = new TraceIdRatioBasedSampler(config.tracesSampleRatio);
  const provider = new NodeTracerProvider({
    sampler: new ParentBasedSampler({ root: ratio }),
    resource: resourceFromAttributes({
      'service.name': config.serviceName,
      'service.version': version,
      'service.instance.id': instance,
      'host.name': hostname(),
      'process.pid': process.pid,
    }),
    spanProcessors: [new BatchSpanProcessor(loggedExporter(exporter, logger))],
    spanLimits: { linkCountLimit: MAX_TRACED_RECORDS * 2 },
  });
  const tracer = provider.getTracer('reachflow', version);
  let closing: Promise<void> | undefined;
  return {
    enabled: true,
    batch: (name, attributes = {}) => new Batch(tracer, name, attributes),
    request: (name, headers, attributes = {}) =>
      startRequest(tracer, ratio, name, headers, attributes),
    close(timeoutMs = CLOSE_TIMEOUT_MS) {
      closing ??= within(timeoutMs, provider.shutdown());
      return closing;
    },
  };
}

function otlpExporter({ config }: TracingOptions): SpanExporter | undefined {
  const { tracesUrl: url, tracesAuthorization: authorization } = config;
  if (url === undefined) return undefined;
  return new OTLPTraceExporter({
    url,
    timeoutMillis: EXPORT_TIMEOUT_MS,
    ...(authorization === undefined ? {} : { headers: { authorization } }),
  });
}

/** A collector that does not answer must not hold back the end of a process. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

function traceIdOf(span: Span): string | undefined {
  return span.isRecording() ? span.spanContext().traceId : undefined;
}

function fail(span: Span, error: unknown): void {
  const type = errorCode(error) ?? 'UNEXPECTED';
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, message: type });
  span.end();
}

/**
 * A span in a trace of its own, linked with one span in the trace of each recorded record, so that neither an epoch is
 * torn into the traces of its records nor a record's trace ends at the epoch.
 */
class Batch implements BatchWork {
  readonly traceId: string | undefined;
  readonly #tracer: Tracer;
  readonly #name: string;
  readonly #attributes: Attributes;
  readonly #span: Span;
  readonly #records: Span[] = [];

  constructor(tracer: Tracer, name: string, attributes: Attributes) {
    this.#tracer = tracer;
    this.#name = name;
    this.#attributes = attributes;
    this.#span = tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes }, ROOT_CONTEXT);
    this.traceId = traceIdOf(this.#span);
  }

  carry(headers: Carrier): TraceHeaders | undefined {
    const carried = carriedTrace(headers);
    if (carried === undefined || this.#records.length >= MAX_TRACED_RECORDS) return carried;
    const parent = extractTrace(carried);
    if (parent === undefined) return undefined;
    const context: Context = trace.setSpanContext(ROOT_CONTEXT, parent);
    const record = this.#tracer.startSpan(
      this.#name,
      {
        kind: SpanKind.CONSUMER,
        attributes: this.#attributes,
        links: this.traceId === undefined ? [] : [{ context: this.#span.spanContext() }],
      },
      context,
    );
    this.#records.push(record);
    if (this.traceId !== undefined) this.#span.addLink({ context: record.spanContext() });
    return traceHeaders(record.spanContext());
  }

  end(attributes: Attributes = {}): void {
    for (const span of this.#records) span.end();
    this.#span.setAttributes(attributes);
    this.#span.end();
  }

  fail(error: unknown): void {
    for (const span of this.#records) fail(span, error);
    fail(this.#span, error);
  }
}

function startRequest(
  tracer: Tracer,
  ratio: Sampler,
  name: string,
  headers: Carrier,
  attributes: Attributes,
): RequestWork {
  let context = ROOT_CONTEXT;
  const parent = extractTrace(headers);
  if (parent !== undefined) {
    const { decision } = ratio.shouldSample(
      ROOT_CONTEXT,
      parent.traceId,
      name,
      SpanKind.SERVER,
      {},
      [],
    );
    const isChosen = decision === SamplingDecision.RECORD_AND_SAMPLED;
    const traceFlags = isChosen ? parent.traceFlags : TraceFlags.NONE;
    context = trace.setSpanContext(ROOT_CONTEXT, { ...parent, traceFlags });
  }
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, context);
  const traceId = traceIdOf(span);
  return {
    traceId,
    headers: traceId === undefined ? undefined : traceHeaders(span.spanContext()),
    end(more = {}) {
      span.setAttributes(more);
      span.end();
    },
    fail: (error) => fail(span, error),
  };
}
