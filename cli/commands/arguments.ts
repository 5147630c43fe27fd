import { InvalidArgumentError } from 'commander';
import { note } from '../output.ts';

const INTERRUPTED_EXIT_CODE = 130;

/** Parses an option that is a whole number. @throws InvalidArgumentError naming the range. */
export function numberIn(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}`);
  };
}

/** Parses an option that is any number, such as 2.5. @throws InvalidArgumentError naming the range. */
export function amountIn(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a number from ${least} to ${most}`);
  };
}

/** The first signal ends the input of a long run, which is then verified; a second one ends everything at once. */
export function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  const onSignal = (): void => {
    if (interrupted.signal.aborted) {
      note('Ended at once. The engines may still run: `reachflow stack down` stops them.');
      process.exit(INTERRUPTED_EXIT_CODE);
    }
    note('Ending: what is under way is finished and verified. Once more ends it at once.');
    interrupted.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return interrupted.signal;
}
