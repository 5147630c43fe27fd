import type { TopicName } from '../../schemas/topics.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import type { StreamRecord } from '../topology/record.ts';

/** W3C trace context: the output belongs to the trace of its input. */
const TRACE_HEADERS = ['traceparent', 'tracestate'];

type Of<R> = ((value: never, record: never) => R) | undefined;

/** Headers of an output record: those a step set, and the trace of the record that it came from. */
function outputHeaders({
  headers,
  source,
}: StreamRecord): Record<string, string | Buffer> | undefined {
  let result: Record<string, string | Buffer> | undefined = headers;
  for (const name of TRACE_HEADERS) {
    const value = source.record.headers[name];
    if (value !== undefined) result = { ...result, [name]: value };
  }
  return result;
}

/** Writes each record to a topic of the map. */
export function topicSinkOperator(
  topic: TopicName,
  options: { readonly key?: Of<string>; readonly value?: Of<unknown> },
): OperatorFactory {
  const keyOf = options.key as ((value: unknown, record: StreamRecord) => string) | undefined;
  const makeValue = options.value as
    | ((value: unknown, record: StreamRecord) => unknown)
    | undefined;
  return ({ epoch, writer: writerOf, now }): Operator => {
    const writer = writerOf(topic);
    return {
      process(record) {
        const key = keyOf === undefined ? record.key : keyOf(record.value, record);
        const value = makeValue === undefined ? record.value : makeValue(record.value, record);
        const partition = epoch.partitionFor(topic, key);
        // Of the input record, not the event time: brokers delete by it, and an old event is not an old record.
        const at = record.source.record.timestamp || now();
        const headers = outputHeaders(record);
        if (value === null) epoch.append(topic, partition, key, null, at, headers);
        else epoch.appendWith(topic, partition, key, at, headers, writer, value);
      },
    };
  };
}
