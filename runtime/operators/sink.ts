import type { TopicName } from '../../schemas/topics.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import { type StreamRecord, withTrace } from '../topology/record.ts';

type Of<R> = ((value: never, record: never) => R) | undefined;

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
        // Those a step set, and the trace of the record that it came from.
        const headers = withTrace(record.source, record.headers);
        if (value === null) epoch.append(topic, partition, key, null, at, headers);
        else epoch.appendWith(topic, partition, key, at, headers, writer, value);
      },
    };
  };
}
