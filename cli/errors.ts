import { CommanderError } from 'commander';
import { ConfigError } from '../runtime/config/problem.ts';
import { maskUrlsIn } from '../runtime/config/redact.ts';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import { note, styled } from './output.ts';

/** What was asked for could not be done. */
export const EXIT_FAILURE = 1;
/** What was asked for does not exist: a command, an option or a setting. */
export const EXIT_USAGE = 2;

const MAX_CAUSES = 5;

/** What caused an error, outermost first; all errors of an AggregateError. */
function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let next: unknown[] = error instanceof AggregateError ? error.errors : [error.cause];
  while (next.length > 0 && causes.length < MAX_CAUSES) {
    const known = next.filter((cause) => cause !== undefined && cause !== null);
    for (const cause of known) causes.push(errorMessage(cause));
    next = known.flatMap((cause) => {
      if (cause instanceof AggregateError) return cause.errors as unknown[];
      return cause instanceof Error ? [cause.cause] : [];
    });
  }
  return [...new Set(causes)].filter((text) => text !== '').slice(0, MAX_CAUSES);
}

/** An error as people read it: code and message, causes, and what to do. Without a stack, without passwords. */
export function errorText(error: unknown): string {
  const known = error instanceof ReachflowError ? error : undefined;
  const code = known?.code ?? 'UNEXPECTED';
  const hint =
    known === undefined
      ? 'This should not happen: REACHFLOW_DEBUG=1 shows where it came from.'
      : known.hint;
  const message = errorMessage(error);
  const causes = error instanceof Error ? causesOf(error).filter((text) => text !== message) : [];
  const lines = [
    `${styled('red', `error ${code}:`, process.stderr)} ${message}`,
    ...causes.map((text) => `  cause: ${text}`),
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
  ];
  return maskUrlsIn(lines.join('\n'));
}

/**
 * Reports what a command threw on standard error: its stack, too, when REACHFLOW_DEBUG is set.
 * @returns the exit code: 0 after help and version, 2 for usage and configuration, else 1.
 */
export function reportError(error: unknown, env: NodeJS.ProcessEnv): number {
  // Commander has written its message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  note(errorText(error));
  if ((env['REACHFLOW_DEBUG'] ?? '') !== '' && error instanceof Error) {
    note(maskUrlsIn(error.stack ?? ''));
  }
  return error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE;
}
