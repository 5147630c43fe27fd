import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { encodings } from './encoding.ts';

/** What a cell or a value of a file may become. */
export const fieldTypes = [
  'any',
  'string',
  'integer',
  'number',
  'boolean',
  'timestamp',
  'date',
  'email',
  'phone',
  'json',
  'list',
] as const;
export type FieldType = (typeof fieldTypes)[number];

/** Topics that a file can fill. */
export const importTopics = ['file.row.received', 'webhook.received'] as const;
export type ImportTopic = (typeof importTopics)[number];

/** Formats that can be read. */
export const fileFormats = ['csv', 'ndjson', 'json', 'xlsx', 'parquet'] as const;
export type FileFormat = (typeof fileFormats)[number];

const column = z
  .string()
  .min(1)
  .max(256)
  .describe('A column by its heading; of JSON a key, or a pointer such as /address/city.');

const fieldName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/, 'a name of letters, digits, _ . and -');

const oneCharacter = z.string().regex(/^[\t -~]$/, 'one ASCII character');

const field = z.union([
  column.transform((name) => ({
    column: name,
    type: 'any' as const,
    required: false,
    trim: false,
    separator: ',',
    order: 'ymd' as const,
  })),
  z.strictObject({
    column,
    type: z
      .enum(fieldTypes)
      .default('any')
      .describe('What it has to be; any: text in a text file, in others as it is.'),
    required: z.boolean().default(false).describe('A row without it is rejected.'),
    trim: z
      .boolean()
      .default(false)
      .describe('Without white space around it; other types than any and string always are.'),
    separator: z.string().min(1).max(8).default(',').describe('Between the entries of a list.'),
    order: z
      .enum(['ymd', 'dmy', 'mdy'])
      .default('ymd')
      .describe('Of day, month and year in a date or timestamp that is not ISO 8601.'),
  }),
  z.strictObject({ value: z.json().describe('The same in each row.') }),
]);

const identifier = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'letters, digits, . _ and -');

/** A map: what the rows of a file become. */
export const importMapSchema = z.strictObject({
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'lower-case letters, digits, - and _')
    .describe('Name of where such files come from: records have `file:<source>`.'),
  topic: z.enum(importTopics).default('file.row.received').describe('Where the rows go.'),
  tenant: z
    .union([identifier, z.strictObject({ column })])
    .describe('Tenant of every row, or the column that names it.'),
  eventType: identifier.default('row').describe('What a row is, e.g. `contact`.'),
  key: z
    .array(column)
    .min(1)
    .max(8)
    .describe('Columns that say what the row is about; joined by `/` the entity id.'),
  occurredAt: z
    .strictObject({ column, order: z.enum(['ymd', 'dmy', 'mdy']).default('ymd') })
    .optional()
    .describe('Column that says when it happened: ISO 8601, or unix time in s or ms.'),
  fields: z
    .record(fieldName, field)
    .optional()
    .describe('Fields of the payload; all columns, as they are, without it.'),
  format: z.enum(fileFormats).optional().describe('By the file itself when absent.'),
  encoding: z.enum(encodings).optional().describe('Of a text; detected when absent.'),
  csv: z
    .strictObject({
      delimiter: oneCharacter.optional().describe('Between cells; detected when absent.'),
      quote: z
        .union([oneCharacter, z.literal('')])
        .optional()
        .describe("Around cells; '' for none."),
      header: z.boolean().default(true).describe('Whether the first row has the headings.'),
      skipLines: z.int().min(0).max(1_000).default(0).describe('Lines before the headings.'),
      ragged: z
        .enum(['reject', 'pad'])
        .default('reject')
        .describe('What becomes of a row with fewer cells than headings.'),
    })
    .prefault({}),
  json: z
    .strictObject({
      pointer: z
        .string()
        .regex(/^(\/([^~/]|~[01])*)*$/, 'an RFC 6901 pointer such as /data/items')
        .default('')
        .describe('Where the array of objects is.'),
    })
    .prefault({}),
  xlsx: z
    .strictObject({
      sheet: z
        .string()
        .min(1)
        .max(31)
        .optional()
        .describe('Name of the sheet; the first when absent.'),
      headerRow: z.int().min(1).max(1_000).default(1).describe('Row that has the headings.'),
    })
    .prefault({}),
});

export type ImportMap = z.output<typeof importMapSchema>;
export type FieldMap = Exclude<NonNullable<ImportMap['fields']>[string], undefined>;

/** @throws ReachflowError `MAP_INVALID` with the path of everything that is wrong. */
export function parseImportMap(text: string, name: string): ImportMap {
  const document = parseDocument(text, { prettyErrors: true });
  const [broken] = document.errors;
  if (broken !== undefined) throw invalid(name, [errorMessage(broken)]);
  let value: unknown;
  try {
    // Aliases are bounded by the library: a map that would grow beyond reason throws.
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw invalid(name, [errorMessage(error)]);
  }
  const parsed = importMapSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(
    name,
    parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the map'}: ${message}`),
  );
}

/** @throws ReachflowError `MAP_INVALID`, `MAP_UNREADABLE`. */
export async function readImportMap(path: string): Promise<ImportMap> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ReachflowError(`the map ${path} cannot be read`, {
      code: 'MAP_UNREADABLE',
      domain: 'user',
      hint: '`reachflow import FILE --write-map map.yaml` writes one to begin with.',
      cause: error,
    });
  }
  return parseImportMap(text, path);
}

function invalid(name: string, problems: readonly string[]): ReachflowError {
  return new ReachflowError(`the map ${name} is not valid: ${problems.join('; ')}`, {
    code: 'MAP_INVALID',
    domain: 'user',
    hint: 'docs/guides/import.md has every key of a map.',
  });
}
