import { DLQ_HEADER_PREFIX } from '../../runtime/delivery/dead-letter.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { line, table } from '../output.ts';
import type { DecodedLetter } from './decode.ts';
import type { FailureGroup } from './groups.ts';
import { jsonValue } from './where.ts';

/** A time for people; empty for none. */
export function time(ms: number): string {
  return Number.isFinite(ms) && ms > 0
    ? new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
    : '';
}

/** On one line, cut. */
export function short(text: string, width: number): string {
  const flat = text.replace(/\s+/g, ' ');
  return flat.length <= width ? flat : `${flat.slice(0, width - 1)}…`;
}

/** Where the record of a letter was: `TOPIC[partition]@offset`. */
export function position({ info }: DeadLetter): string {
  return `${info.topic}[${info.partition}]@${info.offset}`;
}

/** @param keys of the samples, by group. */
export function printGroups(
  groups: readonly FailureGroup[],
  keys: ReadonlyMap<FailureGroup, readonly string[]>,
): void {
  line(
    table(
      ['count', 'fingerprint', 'topic', 'by', 'code', 'first', 'last', 'keys', 'for example'],
      groups.map((group) => [
        String(group.count),
        group.fingerprint,
        group.topic,
        `${group.consumer}/${group.step}`,
        group.code,
        time(group.firstFailure),
        time(group.lastFailure),
        short((keys.get(group) ?? []).join(' '), 30),
        short(group.message, 60),
      ]),
    ),
  );
}

export function printLetters(
  letters: readonly DeadLetter[],
  decoded: readonly DecodedLetter[],
): void {
  line(
    table(
      ['time', 'record', 'key', 'by', 'code', 'state', 'why'],
      letters.map((letter, i) => [
        time(letter.info.lastFailure),
        position(letter),
        short(decoded[i]?.key ?? '', 20),
        `${letter.info.consumer}/${letter.info.step}`,
        letter.info.code,
        letter.resolution ?? '',
        short(letter.info.message, 60),
      ]),
    ),
  );
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

/** @param indent 0 for one line. */
export function toJson(data: unknown, indent = 0): string {
  return JSON.stringify(data, jsonValue, indent);
}
