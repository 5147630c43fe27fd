import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import type { DecodedLetter } from '../../runtime/letters/decode.ts';
import type { FailureGroup } from '../../runtime/letters/groups.ts';
import { position } from '../../runtime/letters/letter-data.ts';
import { jsonValue } from '../../runtime/letters/where.ts';
import { line, table } from '../output.ts';

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

/** @param indent 0 for one line. */
export function toJson(data: unknown, indent = 0): string {
  return JSON.stringify(data, jsonValue, indent);
}
