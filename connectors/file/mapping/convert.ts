import validator from 'validator';
import type { FieldType } from '../map.ts';
import { parseTime, type TimeOrder } from './time.ts';

/** What a value became: JSON text, nothing (an empty cell), or why it cannot. */
export type Converted = { readonly json: string } | { readonly problem: string } | typeof ABSENT;

/** A cell that has no value: what a formula failed with. */
export class CellError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export const ABSENT = { absent: true } as const;

export interface Conversion {
  readonly type: FieldType;
  readonly trim: boolean;
  readonly separator: string;
  readonly order: TimeOrder;
}

const E164 = /^\+[1-9]\d{6,14}$/;
const INTEGER = /^[+-]?\d{1,40}$/;
const NUMBER = /^[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?$/;
const TRUE: ReadonlySet<string> = new Set(['true', 't', 'yes', 'y', '1']);
const FALSE: ReadonlySet<string> = new Set(['false', 'f', 'no', 'n', '0']);
const DAY_MS = 86_400_000;
const SHOWN = 60;

/** A value of any reader as the field's type; empty text and null are absent. */
export function convert(value: unknown, conversion: Conversion): Converted {
  if (value === null || value === undefined) return ABSENT;
  if (typeof value === 'string') return convertText(value, conversion);
  if (value instanceof CellError) return { problem: value.message };
  const { type } = conversion;
  if (type === 'any') return json(value);
  if (type === 'string' || type === 'email' || type === 'phone')
    return convertText(textOf(value), conversion);
  if (type === 'json') return json(value);
  if (type === 'list' && Array.isArray(value)) return json(value);
  if (value instanceof Date) return convertDate(value, conversion);
  if (typeof value === 'boolean' && type === 'boolean') return { json: String(value) };
  return convertText(textOf(value), conversion);
}

/** A value as text: of objects their JSON. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return '';
  if (value instanceof CellError) return '';
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '' : value.toISOString();
  return typeof value === 'object' ? (toJson(value) ?? '') : String(value);
}

function convertText(text: string, conversion: Conversion): Converted {
  const { type, trim } = conversion;
  const isText = type === 'string' || type === 'any';
  const value = trim || !isText ? text.trim() : text;
  if (value === '') return ABSENT;
  switch (type) {
    case 'any':
    case 'string':
      return { json: JSON.stringify(value) };
    case 'integer':
      return INTEGER.test(value) ? { json: plainInteger(value) } : wrong(value, 'whole number');
    case 'number':
      return NUMBER.test(value) ? number(value) : wrong(value, 'number');
    case 'boolean':
      return boolean(value);
    case 'timestamp':
    case 'date':
      return time(value, conversion);
    case 'email':
      return validator.isEmail(value)
        ? { json: JSON.stringify(value) }
        : wrong(value, 'e-mail address');
    case 'phone':
      return phone(value);
    case 'json':
      return parsed(value);
    case 'list':
      return list(value, conversion.separator);
  }
}

function wrong(value: string, what: string): Converted {
  const shown = value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value;
  return { problem: `${JSON.stringify(shown)} is no ${what}` };
}

/** Digits stay as they are: a number of JSON may be larger than one of JavaScript is exact. */
function plainInteger(text: string): string {
  const sign = text.startsWith('-') ? '-' : '';
  const digits = text.replace(/^[+-]/, '').replace(/^0+(?=\d)/, '');
  return digits === '0' ? '0' : sign + digits;
}

function number(text: string): Converted {
  const value = Number(text);
  return Number.isFinite(value) ? { json: JSON.stringify(value) } : wrong(text, 'number');
}

function boolean(text: string): Converted {
  const word = text.toLowerCase();
  if (TRUE.has(word)) return { json: 'true' };
  return FALSE.has(word) ? { json: 'false' } : wrong(text, 'yes or no');
}

function phone(text: string): Converted {
  const digits = text.replaceAll(/[\s()./-]/g, '');
  return E164.test(digits) ? { json: JSON.stringify(digits) } : wrong(text, 'E.164 phone number');
}

function time(text: string, { type, order }: Conversion): Converted {
  const ms = parseTime(text, order);
  if (ms === undefined) return wrong(text, type);
  return convertMs(ms, type);
}

function convertDate(value: Date, { type }: Conversion): Converted {
  const ms = value.getTime();
  if (Number.isNaN(ms)) return { problem: 'it is no time' };
  if (type === 'timestamp' || type === 'date') return convertMs(ms, type);
  return wrong(value.toISOString(), type);
}

function convertMs(ms: number, type: FieldType): Converted {
  const iso = new Date(ms).toISOString();
  if (type === 'timestamp') return { json: `"${iso}"` };
  if (ms % DAY_MS !== 0) return wrong(iso, 'date: it has a time of day');
  return { json: `"${iso.slice(0, 10)}"` };
}

function list(text: string, separator: string): Converted {
  const entries = text.split(separator).map((entry) => entry.trim());
  return { json: JSON.stringify(entries.filter((entry) => entry !== '')) };
}

function parsed(text: string): Converted {
  try {
    return { json: JSON.stringify(JSON.parse(text)) };
  } catch {
    return wrong(text, 'JSON');
  }
}

function json(value: unknown): Converted {
  const text = toJson(value);
  return text === undefined ? { problem: 'it has no form in JSON' } : { json: text };
}

/**
 * Whole numbers beyond what a number is exact for keep their digits, as text; undefined for what has no form in JSON,
 * or is nested so deep that the runtime gives up.
 */
function toJson(value: unknown): string | undefined {
  try {
    return stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function stringify(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint')
      return Number.isSafeInteger(Number(part)) ? Number(part) : String(part);
    return part instanceof Uint8Array ? Buffer.from(part).toString('base64') : part;
  });
}
