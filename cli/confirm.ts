import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { ReachflowError } from '../runtime/errors.ts';

/**
 * Asks on a terminal. @param hint what else than an answer would do.
 * @throws ReachflowError `NOT_CONFIRMED` unless the answer is yes, and where there is no terminal.
 */
export async function confirm(question: string, hint: string): Promise<void> {
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
    hint,
  });
}
