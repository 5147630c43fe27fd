import { DLQ_HEADER_PREFIX } from '../delivery/dead-letter.ts';
import type { DeadLetter } from '../delivery/letter.ts';
import type { DecodedLetter } from './decode.ts';

/** Where the record of a letter was: `TOPIC[partition]@offset`. */
export function position({ info }: DeadLetter): string {
  return `${info.topic}[${info.partition}]@${info.offset}`;
}

/** A letter as one JSON object: with its failure, key, decoded value and other headers, and its bytes when asked. */
export function letterData(
  letter: DeadLetter,
  decoded: DecodedLetter | undefined,
  withBytes: boolean,
): Record<string, unknown> {
  const { dlq, dlqPartition, dlqOffset, info, record, resolution } = letter;
  const own = Object.entries(record.headers).filter(
    ([name]) => !name.startsWith(DLQ_HEADER_PREFIX),
  );
  return {
    dlq,
    dlqPartition,
    dlqOffset: String(dlqOffset),
    ...info,
    ...(resolution === undefined ? {} : { resolution }),
    key: decoded?.key ?? null,
    valueBytes: record.value?.length ?? 0,
    ...(decoded?.problem === undefined ? { value: decoded?.value } : { problem: decoded.problem }),
    headers: Object.fromEntries(own.map(([name, value]) => [name, value.toString('utf8')])),
    ...(withBytes
      ? {
          keyBase64: record.key?.toString('base64') ?? null,
          valueBase64: record.value?.toString('base64') ?? null,
        }
      : {}),
  };
}
