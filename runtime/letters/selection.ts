import type { TopicCodec } from '../../schemas/codec.ts';
import type { ReadLetter } from '../delivery/letter.ts';
import type { SelectLetters } from '../delivery/redrive-plan.ts';
import { decodeLetters } from './decode.ts';
import { parseAll } from './where.ts';

/** Which letters a command is about. Each filter narrows it. */
export interface Selection {
  /** A prefix of one is enough. */
  readonly fingerprint?: string;
  /** Part of the topic's name. */
  readonly topic?: string;
  readonly consumer?: string;
  readonly code?: string;
  /** Failed last at this time or later, ms since the epoch. */
  readonly since?: number;
  readonly where: readonly string[];
}

/** Looks only at the headers that it needs: most commands go through all letters. */
function matches(letter: ReadLetter, selection: Selection): boolean {
  const { fingerprint = '', topic = '', consumer, code, since = 0 } = selection;
  return (
    letter.lastFailure >= since &&
    (fingerprint === '' || letter.text('fingerprint').startsWith(fingerprint)) &&
    (topic === '' || letter.text('topic').includes(topic)) &&
    (consumer === undefined || letter.text('consumer') === consumer) &&
    (code === undefined || letter.text('code') === code)
  );
}

/** Letters that match; records are decoded only where an expression needs them. @throws as `parseAll` at once. */
export function selector(codec: TopicCodec, selection: Selection): SelectLetters {
  const condition = parseAll(selection.where);
  return async (letters) => {
    const found = letters.filter((letter) => matches(letter, selection));
    if (selection.where.length === 0 || found.length === 0) return found;
    const decoded = await decodeLetters(codec, found);
    return found.filter((letter, i) => {
      const { key = '', value } = decoded[i] ?? {};
      return condition({ key, value, headers: letter.record.headers });
    });
  };
}
