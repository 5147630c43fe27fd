import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type SpanContext,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';

/** Headers that may carry a trace: of a Kafka record, or of an HTTP request. */
export type Carrier = Readonly<Record<string, Buffer | string | readonly string[] | undefined>>;

/** `traceparent`, and `tracestate` where there is one; W3C Trace Context. */
export type TraceHeaders = Readonly<Record<string, string>>;

const TRACEPARENT = 'traceparent';
const TRACESTATE = 'tracestate';
/** The W3C asks for 512 characters to be carried; more is nobody's right. */
const MAX_TRACESTATE = 1_024;
/** Position of the flags' last digit in `00-<32 digits>-<16 digits>-<2 digits>`. */
const FLAGS_END = 54;

const propagator = new W3CTraceContextPropagator();

function textOf(value: Carrier[string]): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString('latin1') : value[0];
}

/**
 * The trace that headers belong to, as far as somebody records it; its headers to hand on. For records without
 * `traceparent` it costs one look. A trace that nobody records is not carried on: it would only cost bytes.
 */
export function carriedTrace(headers: Carrier): TraceHeaders | undefined {
  const value = headers[TRACEPARENT];
  if (value === undefined) return undefined;
  const traceparent = textOf(value);
  if (traceparent === undefined || !isSampled(traceparent)) return undefined;
  const tracestate = textOf(headers[TRACESTATE]);
  return tracestate === undefined || tracestate === '' || tracestate.length > MAX_TRACESTATE
    ? { traceparent }
    : { traceparent, tracestate };
}

/** By the flags alone; whether the rest is well formed, `extractTrace` says. */
function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.charAt(FLAGS_END), 16) & 1) === 1;
}

/** The trace that headers belong to, recorded or not; undefined when there is none, or none that is well formed. */
export function extractTrace(headers: Carrier): SpanContext | undefined {
  const traceparent = textOf(headers[TRACEPARENT]);
  if (traceparent === undefined) return undefined;
  const carrier = { traceparent, tracestate: textOf(headers[TRACESTATE]) ?? '' };
  return trace.getSpanContext(propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter));
}

/** Headers that continue a trace below a span. */
export function traceHeaders(span: SpanContext): TraceHeaders {
  const carrier: Record<string, string> = {};
  propagator.inject(trace.setSpanContext(ROOT_CONTEXT, span), carrier, defaultTextMapSetter);
  return carrier;
}
