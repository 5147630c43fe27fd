import type { LetterKind } from '../../runtime/delivery/letter-kinds.ts';
import type { Selection } from '../../runtime/letters/selection.ts';
import { note, table } from '../output.ts';

/** Kinds that are shown. */
const MAX_SHOWN = 20;

/** Whether a command is about all letters there are. */
export function isUnfiltered({ where, ...filters }: Selection): boolean {
  return where.length === 0 && Object.values(filters).every((filter) => filter === undefined);
}

/** Tells people what a command is about, on standard error. */
export function showKinds(kinds: readonly LetterKind[]): void {
  note(
    table(
      ['letters', 'fingerprint', 'topic', 'by', 'code'],
      kinds
        .slice(0, MAX_SHOWN)
        .map(({ letters, fingerprint, topic, consumer, step, code }) => [
          String(letters),
          fingerprint,
          topic,
          `${consumer}/${step}`,
          code,
        ]),
    ),
  );
  if (kinds.length > MAX_SHOWN) note(`and ${kinds.length - MAX_SHOWN} more kinds of failure`);
}

/** What a redrive or drop of everything asks for, where nobody answers. */
export const CONFIRM_HINT =
  'Answer y, use --yes, or name what you mean: a fingerprint, --consumer, --code, --since, --where.';
