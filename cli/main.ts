import { reportError } from './errors.ts';
import { createProgram } from './program.ts';

/** A reader that has seen enough (`reachflow config | head`) is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

function fail(error: unknown): never {
  process.exit(reportError(error, process.env));
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

try {
  await createProgram().parseAsync();
} catch (error) {
  // Not by exitCode: clients that a failed command has left open would keep the process alive.
  fail(error);
}
