import type { TopicName } from '../../schemas/topics.ts';
import type { KafkaRecord } from '../kafka/record.ts';

/** Where a record came from: what dead letters, errors and traces point at. */
export interface SourceRecord {
  /** Logical name: of the topics map, or a repartition topic of the pipeline. */
  readonly topic: TopicName | string;
  readonly partition: number;
  readonly record: KafkaRecord;
  /** Of a redriven record: the step that gave up on it. */
  readonly failedStep?: string;
}

/**
 * A record on its way through a sub-topology. Operators never change one that they were given: they forward it, or a
 * new one made by `derive`.
 */
export interface StreamRecord<V = unknown> {
  readonly key: string;
  readonly value: V;
  /** Event time, ms since the epoch. */
  readonly timestamp: number;
  /**
   * Watermark of its channel just before it (ms; -Infinity before the first record): whether it is late does not
   * depend on how channels are interleaved.
   */
  readonly watermark: number;
  readonly source: SourceRecord;
  /** Set by a step for the output record; the source's headers are in `source`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** W3C Trace Context: what follows from a record belongs to its trace. */
const TRACE_HEADERS = ['traceparent', 'tracestate'];

/** Whether a record belongs to a trace. One look at its headers. */
export function isTraced({ record }: SourceRecord): boolean {
  return record.headers['traceparent'] !== undefined;
}

/** Adds the headers of a record's trace, if it has one, to those given. */
export function withTrace(
  { record }: SourceRecord,
  headers?: Readonly<Record<string, string | Buffer>>,
): Readonly<Record<string, string | Buffer>> | undefined {
  let result = headers;
  for (const name of TRACE_HEADERS) {
    const value = record.headers[name];
    if (value !== undefined) result = { ...result, [name]: value };
  }
  return result;
}

/** Source of what no input of this process caused: timers and windows that were restored, changes of tables. */
export const NO_SOURCE: SourceRecord = {
  topic: '',
  partition: 0,
  record: { offset: -1n, timestamp: 0, key: null, value: null, headers: {} },
};

/** The same record with another value, and another key when given. */
export function derive<V>(from: StreamRecord, value: V, key: string = from.key): StreamRecord<V> {
  return {
    key,
    value,
    timestamp: from.timestamp,
    watermark: from.watermark,
    source: from.source,
    headers: from.headers,
  };
}
