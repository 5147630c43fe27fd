import type { z } from 'zod';
import type { Collection } from './collection.ts';
import { type ConfigProblem, givenText, nearestName } from './problem.ts';
import { redact } from './redact.ts';
import { type SettingSchema, schemasBelow } from './settings.ts';

/** Every issue of the schema as a problem: whose value it is, where it came from, what is expected. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  raw: unknown,
  collection: Collection,
): ConfigProblem[] {
  return issues.map((issue): ConfigProblem => {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    let value: unknown = raw;
    let schemas: readonly SettingSchema[] = [collection.root];
    let secret = false;
    for (const step of path) {
      value = ownValue(value, step);
      schemas = schemas.flatMap((schema) => schemasBelow(schema, step));
      secret ||= schemas.some((schema) => schema.secret === true);
    }
    const setting = collection.settings.find(({ path: own }) =>
      own.every((part, index) => part === path[index]),
    );
    const source = (setting && collection.given.get(setting.key)?.source) ?? { kind: 'default' };
    const given = givenText(secret ? redact(value, [{ secret: true }]) : redact(value, schemas));
    const key = path.join('.');
    if (issue.code !== 'unrecognized_keys')
      return { source, key, given, message: expectedText(issue) };
    const known = schemas
      .flatMap((schema) => optionsOf(schema))
      .flatMap(({ properties }) => Object.keys(properties ?? {}));
    const nearest = nearestName(issue.keys[0] ?? '', known);
    const message = `there is no ${issue.keys.map((name) => `\`${name}\``).join(', ')} here`;
    return { source, key, message, ...(nearest === undefined ? {} : { nearest }) };
  });
}

function ownValue(of: unknown, step: string | number): unknown {
  if (typeof of !== 'object' || of === null || !Object.hasOwn(of, step)) return undefined;
  return Reflect.get(of, step);
}

function optionsOf(schema: SettingSchema): SettingSchema[] {
  return [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
}

function expectedText(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  return issue.message.replace(/^Invalid (input|option): /, '').replace(/, received .*$/, '');
}
