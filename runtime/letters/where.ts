import { ReachflowError } from '../errors.ts';

/** What an expression looks at: fields of a decoded record, its key and headers. */
export interface Readable {
  readonly key: string;
  readonly headers: Readonly<Record<string, Buffer>>;
  /** Undefined where it could not be decoded. */
  readonly value: unknown;
}

/** Whether a record is meant. */
export type Condition = (record: Readable) => boolean;

const OPERATORS = ['!=', '!~', '>=', '<=', '=', '~', '>', '<'] as const;
type Operator = (typeof OPERATORS)[number];

const EXPRESSION = /^\s*([\w.$-]+)\s*(!=|!~|>=|<=|=|~|>|<)\s*(.*?)\s*$/s;
const NUMBER = /^-?\d+(\.\d+)?$/;

/**
 * Parses `field operator text`: `tenant_id=acme`, `after.email~@example`, `score>=0.5`, `header.source!=gh`, `key=42`.
 * Operators are `= != ~ !~ < <= > >=`; `~` is a regular expression. Numbers are compared as numbers, `null` is no value.
 * Nothing is evaluated.
 * @throws ReachflowError `INVALID_WHERE`.
 */
export function parseWhere(expression: string): Condition {
  const match = EXPRESSION.exec(expression);
  const [, path = '', operator, text = ''] = match ?? [];
  if (!isOperator(operator)) throw invalid(expression, 'it is not FIELD OPERATOR VALUE');
  const test = comparison(expression, operator, unquoted(text));
  return (record) => test(fieldOf(record, path));
}

function isOperator(text: string | undefined): text is Operator {
  return OPERATORS.some((operator) => operator === text);
}

/** All of them have to hold. @throws as `parseWhere`. */
export function parseAll(expressions: readonly string[]): Condition {
  const conditions = expressions.map(parseWhere);
  return (record) => conditions.every((condition) => condition(record));
}

function unquoted(text: string): string {
  const quote = text[0];
  const isQuoted = text.length > 1 && (quote === '"' || quote === "'") && text.endsWith(quote);
  return isQuoted ? text.slice(1, -1) : text;
}

function fieldOf({ key, headers, value }: Readable, path: string): string | undefined {
  if (path === 'key') return key;
  if (path.startsWith('header.')) return headers[path.slice('header.'.length)]?.toString('utf8');
  let at: unknown = value;
  for (const name of path.replace(/^value\./, '').split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  if (at === null || at === undefined) return undefined;
  return typeof at === 'object' ? JSON.stringify(at, jsonValue) : String(at);
}

/** For JSON.stringify: 64-bit numbers as text, bytes as base64. */
export function jsonValue(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  const isBytes =
    typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';
  if (!isBytes) return value;
  return Buffer.from((value as unknown as { data: number[] }).data).toString('base64');
}

function comparison(
  expression: string,
  operator: Operator,
  wanted: string,
): (found: string | undefined) => boolean {
  if (operator === '~' || operator === '!~') {
    const pattern = regularExpression(expression, wanted);
    return (found) => (found !== undefined && pattern.test(found)) === (operator === '~');
  }
  if (operator === '=' || operator === '!=') {
    const isWanted = (found: string | undefined) =>
      wanted === 'null' ? found === undefined : found !== undefined && compare(found, wanted) === 0;
    return (found) => isWanted(found) === (operator === '=');
  }
  return (found) => {
    if (found === undefined) return false;
    const order = compare(found, wanted);
    if (operator === '<') return order < 0;
    if (operator === '<=') return order <= 0;
    return operator === '>' ? order > 0 : order >= 0;
  };
}

function regularExpression(expression: string, source: string): RegExp {
  try {
    return new RegExp(source, 'u');
  } catch (error) {
    throw invalid(expression, `its regular expression is none: ${String(error)}`);
  }
}

function compare(a: string, b: string): number {
  if (/^-?\d+$/.test(a) && /^-?\d+$/.test(b)) {
    const [x, y] = [BigInt(a), BigInt(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (NUMBER.test(a) && NUMBER.test(b)) return Number(a) - Number(b);
  return a < b ? -1 : a > b ? 1 : 0;
}

function invalid(expression: string, why: string): ReachflowError {
  return new ReachflowError(`--where ${JSON.stringify(expression)}: ${why}`, {
    code: 'INVALID_WHERE',
    domain: 'user',
    hint: 'For example: tenant_id=acme, after.email~@example, score>=0.5, header.source!=gh, key=42.',
  });
}
