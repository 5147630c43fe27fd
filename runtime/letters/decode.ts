import type { TopicCodec } from '../../schemas/codec.ts';
import type { Payloads } from '../../schemas/payloads.ts';
import { isTopicName, type TopicName } from '../../schemas/topics.ts';
import type { DeadLetter } from '../delivery/letter.ts';
import { errorMessage, ReachflowError } from '../errors.ts';

/** A letter's record, as far as it can be read. */
export interface DecodedLetter {
  /** As text; its bytes in hex where it cannot be read. */
  readonly key: string;
  /** Undefined where it cannot be read; null is a tombstone. */
  readonly value: unknown;
  /** Why it cannot be read. */
  readonly problem?: string;
}

/**
 * Decodes the records of letters, in their order. Those of repartition topics are bytes of a pipeline's own, and are
 * not decoded.
 * @throws ReachflowError `REGISTRY_UNAVAILABLE`; `CLAIM_NOT_FOUND`, `CLAIM_STORAGE_UNAVAILABLE` naming the record.
 */
export async function decodeLetters(
  codec: TopicCodec,
  letters: readonly DeadLetter[],
): Promise<readonly DecodedLetter[]> {
  const payloads = new Map<string, Payloads>();
  for (const [topic, own] of Map.groupBy(letters, ({ info }) => info.topic)) {
    if (!isTopicName(topic)) continue;
    const values = own.map(({ record }) => record.value);
    await codec.load(
      topic,
      values,
      own.map(({ record }) => record.key),
    );
    const found = await codec.payloads(topic, values);
    if (found.failure !== undefined) throw at(own[found.end], found.failure);
    payloads.set(topic, found);
  }
  return letters.map((letter) => decodeOne(codec, letter, payloads.get(letter.info.topic)));
}

/** The error with the record that it is about. */
function at(letter: DeadLetter | undefined, error: ReachflowError): ReachflowError {
  if (letter === undefined) return error;
  const { topic, partition, offset } = letter.info;
  const { code, domain, retry, hint, message } = error;
  return new ReachflowError(`${topic}[${partition}]@${offset}: ${message}`, {
    ...{ code, domain, retry, cause: error },
    ...(hint === undefined ? {} : { hint }),
  });
}

function decodeOne(
  codec: TopicCodec,
  { info, record }: DeadLetter,
  payloads: Payloads | undefined,
): DecodedLetter {
  const hex = record.key === null ? '' : `0x${record.key.toString('hex')}`;
  const { topic } = info;
  if (!isTopicName(topic)) {
    const key = record.key?.toString('utf8') ?? '';
    return { key, value: undefined, problem: `${topic} is internal to a pipeline` };
  }
  try {
    const key = readable(() => codec.decodeKey(topic, record.key)) ?? hex;
    const value = record.value === null ? null : codec.decode(topic, record.value, payloads);
    return { key, value };
  } catch (error) {
    if (error instanceof ReachflowError && error.retry === 'backoff') throw error;
    const key = readable(() => codec.decodeKey(topic, record.key)) ?? hex;
    return { key, value: undefined, problem: errorMessage(error) };
  }
}

function readable(work: () => string): string | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** The topic of a letter, where it is one of the map. */
export function topicOf({ info }: DeadLetter): TopicName | undefined {
  return isTopicName(info.topic) ? info.topic : undefined;
}
