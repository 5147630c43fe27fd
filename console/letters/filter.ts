import { z } from 'zod';
import type { ReadLetter } from '../../runtime/delivery/letter.ts';
import { isOpen, type SelectLetters } from '../../runtime/delivery/redrive-plan.ts';
import { decodeLetters } from '../../runtime/letters/decode.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { tenantOf } from '../../schemas/tenant.ts';
import { maySee, type Viewer } from '../access.ts';

const name = z.string().min(1).max(249);
const number = z.string().regex(/^\d{1,16}$/);

/** What a list of letters is asked for by. */
export const filterSchema = z.strictObject({
  topic: name.optional(),
  consumer: name.optional(),
  code: name.optional(),
  fingerprint: z.string().max(64).optional(),
  tenant: z.string().max(128).default(''),
  state: z.enum(['open', 'all']).default('open'),
  limit: number.transform(Number).pipe(z.int().min(1).max(500)).default(100),
});
export type LetterFilter = z.output<typeof filterSchema>;

/** A letter, by its place in its queue. */
export const placeSchema = z.strictObject({
  dlq: name,
  partition: z.coerce.number().int().min(0).max(100_000),
  offset: number,
});
export type LetterPlace = z.output<typeof placeSchema>;

/** What is to be sent back or dropped: letters by their places, or all that failed alike. */
export const choiceSchema = z.union([
  z.strictObject({ letters: z.array(placeSchema).min(1).max(1_000) }),
  z.strictObject({ fingerprint: z.string().regex(/^[0-9a-f]{12}$/) }),
]);
export type LetterChoice = z.output<typeof choiceSchema>;

/** Letters that a list is asked for, of those that its viewer may see. */
export function filtered(codec: TopicCodec, viewer: Viewer, filter: LetterFilter): SelectLetters {
  const { topic, consumer, code, fingerprint, tenant, state } = filter;
  const own = ofTenants(codec, (found) => maySee(viewer, found) && isAsked(tenant, found));
  const everything = viewer.tenants === '*' && tenant === '';
  return async (letters) => {
    const matching = letters.filter(
      (letter) =>
        (state === 'all' || isOpen(letter)) &&
        (topic === undefined || letter.text('topic') === topic) &&
        (consumer === undefined || letter.text('consumer') === consumer) &&
        (code === undefined || letter.text('code') === code) &&
        (fingerprint === undefined || letter.text('fingerprint') === fingerprint),
    );
    return everything ? matching : own(matching);
  };
}

function isAsked(tenant: string, found: string | undefined): boolean {
  return tenant === '' || tenant === found;
}

/**
 * Letters by whose they are: what delivery wrote beside the failure, else what the record itself says. One that says it
 * nowhere is nobody's.
 */
export function ofTenants(
  codec: TopicCodec,
  isWanted: (tenant: string | undefined) => boolean,
): SelectLetters {
  return async (letters) => {
    const silent = letters.filter((letter) => letter.text('tenant') === '');
    const decoded = silent.length === 0 ? [] : await decodeLetters(codec, silent);
    const said = new Map(silent.map((letter, i) => [letter, tenantOf(decoded[i]?.value)]));
    return letters.filter((letter) => {
      const header = letter.text('tenant');
      return isWanted(header === '' ? said.get(letter) : header);
    });
  };
}

/** The letters of a choice; their queues, where it names them. */
export function chosen(choice: LetterChoice): {
  readonly select: SelectLetters;
  readonly dlqs: readonly string[] | undefined;
} {
  if ('fingerprint' in choice) {
    const isMeant = (letter: ReadLetter) => letter.text('fingerprint') === choice.fingerprint;
    return { select: async (letters) => letters.filter(isMeant), dlqs: undefined };
  }
  const nameOf = (dlq: string, partition: number, offset: string) =>
    `${dlq}/${partition}@${offset}`;
  const places = new Set(
    choice.letters.map(({ dlq, partition, offset }) => nameOf(dlq, partition, offset)),
  );
  const isMeant = ({ dlq, dlqPartition, dlqOffset }: ReadLetter) =>
    places.has(nameOf(dlq, dlqPartition, String(dlqOffset)));
  return {
    select: async (letters) => letters.filter(isMeant),
    dlqs: [...new Set(choice.letters.map(({ dlq }) => dlq))],
  };
}
