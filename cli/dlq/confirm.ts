import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { LetterKind } from '../../runtime/delivery/letter-kinds.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { note, table } from '../output.ts';
import type { Selection } from './selection.ts';

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

/** Asks on a terminal. @throws ReachflowError `NOT_CONFIRMED` unless the answer is yes, and where there is no terminal. */
export async function confirm(question: string): Promise<void> {
  if (process.stdin.isTTY) {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    // Who ends the input gives no answer.
    const closed = once(terminal, 'close').then(() => '');
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
    terminal.close();
    if (/^y(es)?$/i.test(answer.trim())) return;
  }
  throw new ReachflowError(`${question} Nothing was done`, {
    code: 'NOT_CONFIRMED',
    domain: 'user',
    hint: 'Answer y, use --yes, or name what you mean: a fingerprint, --consumer, --code, --since, --where.',
  });
}
