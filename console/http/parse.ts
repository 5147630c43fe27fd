import { z } from 'zod';
import { queryInvalid } from '../problems.ts';

/** Input of a request in its form. @throws ProblemError 400 that says what is wrong with it. */
export function parsed<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (!result.success) throw queryInvalid(z.prettifyError(result.error));
  return result.data;
}
