import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import { ReachflowError } from '../errors.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { SinkRecord } from './sink.ts';

/** Header that carries the version of a tombstone, which has no value to carry it. */
export const VERSION_HEADER = 'reachflow.version';

/** A record as it came, with what it says or why it cannot be read. */
export type Decoded =
  | { readonly raw: KafkaRecord; readonly record: SinkRecord }
  | { readonly raw: KafkaRecord; readonly error: ReachflowError };

/** Decodes records of one partition. @throws ReachflowError `REGISTRY_UNAVAILABLE` (retry: backoff), as `TopicCodec.allPayloads`. */
export type Decode = (records: readonly KafkaRecord[]) => Promise<Decoded[]>;

/** The decoder of a topic's partition. */
export function createDecode(codec: TopicCodec, topic: TopicName, partition: number): Decode {
  return async (records) => {
    const values = records.map(({ value }) => value);
    await codec.load(
      topic,
      values,
      records.map(({ key }) => key),
    );
    const payloads = await codec.allPayloads(topic, values);
    return records.map((raw) => {
      try {
        const value = raw.value === null ? null : codec.decode(topic, raw.value, payloads);
        const key = codec.decodeKey(topic, raw.key);
        const fields = value as SinkRecord['value'];
        return { raw, record: toSinkRecord(topic, partition, raw, key, fields) };
      } catch (error) {
        if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
        return { raw, error };
      }
    });
  };
}

/** Without a version a deletion would lose against any row, and the row would stay. */
function versionMissing(topic: string, key: string): ReachflowError {
  return new ReachflowError(`the tombstone of ${key} in ${topic} has no header ${VERSION_HEADER}`, {
    code: 'VERSION_MISSING',
    domain: 'user',
    hint: 'Write tombstones with the version of the deletion, larger than that of the record deleted.',
  });
}

function toSinkRecord(
  topic: TopicName,
  partition: number,
  raw: KafkaRecord,
  key: string,
  value: SinkRecord['value'],
): SinkRecord {
  const { offset, timestamp } = raw;
  const inValue = value?.['version'];
  const header = raw.headers[VERSION_HEADER]?.toString('utf8');
  let version = 0n;
  if (typeof inValue === 'bigint') version = inValue;
  else if (header !== undefined && /^\d+$/.test(header)) version = BigInt(header);
  else if (value === null) throw versionMissing(topic, key);
  return { topic, partition, offset, timestamp, key, value, version };
}
