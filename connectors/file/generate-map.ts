import { stringify } from 'yaml';
import type { FieldType } from './map.ts';
import { ABSENT, convert } from './mapping/convert.ts';
import type { FileSample } from './sample.ts';

/** Types that a column may have, the narrowest first; text is what fits none. */
const GUESSES = ['integer', 'number', 'boolean', 'date', 'timestamp', 'email', 'phone'] as const;
/** A column that says whose a row is, or what it is about. */
const TENANT = /^tenant(_?id)?$/i;
const KEY = /^(id|uuid|key|e-?mail|.*_id|.*id)$/i;
/** Numbers that are a name, not a quantity: a leading zero or plus would be lost. */
const KEPT = /^[0+]\d/;

/** The narrowest type that every cell of a column has. */
export function guessType(cells: readonly string[]): FieldType {
  const filled = cells.map((cell) => cell.trim()).filter((cell) => cell !== '');
  if (filled.length === 0) return 'string';
  for (const type of GUESSES) {
    const isNumber = type === 'integer' || type === 'number';
    if (isNumber && filled.some((cell) => KEPT.test(cell))) continue;
    // One digit each may be a truth, but is as well a number.
    const conversion = { type, trim: true, separator: ',', order: 'ymd' } as const;
    const fits = filled.every((cell) => {
      const converted = convert(cell, conversion);
      return converted !== ABSENT && 'json' in converted;
    });
    if (fits) return type;
  }
  return 'string';
}

/** The name of a field for a column: lower case, words joined by `_`, each once. */
export function fieldNames(columns: readonly string[]): string[] {
  const seen = new Set<string>();
  return columns.map((column) => {
    const words = column.normalize('NFKD').replaceAll(/\p{M}/gu, '');
    const plain = words
      .replaceAll(/[^A-Za-z0-9]+/g, '_')
      .replaceAll(/^_+|_+$/g, '')
      .toLowerCase();
    const base = /^[a-z_]/.test(plain) ? plain.slice(0, 100) : `column_${plain}`.slice(0, 100);
    let name = base;
    for (let again = 2; seen.has(name); again += 1) name = `${base}_${again}`;
    seen.add(name);
    return name;
  });
}

/** A column whose cells are all there and all different, an id by its name if possible. */
function keyOf({ columns, rows }: FileSample): string {
  const unique = columns.filter((_, i) => {
    const cells = rows.map((row) => row[i] ?? '');
    return cells.every((cell) => cell !== '') && new Set(cells).size === cells.length;
  });
  return unique.find((name) => KEY.test(name)) ?? unique[0] ?? columns[0] ?? 'id';
}

/** A map for files like this one, to be read and changed by people. */
export function generateMap(sample: FileSample, source: string): string {
  const { columns, rows } = sample;
  const tenant = columns.find((name) => TENANT.test(name));
  const names = fieldNames(columns);
  const fields = Object.fromEntries(
    columns.map((column, i) => {
      const type = guessType(rows.map((row) => row[i] ?? ''));
      const name = names[i] ?? column;
      return [name, type === 'string' ? column : { column, type }];
    }),
  );
  const body = {
    source,
    topic: 'file.row.received',
    tenant: tenant === undefined ? 'default' : { column: tenant },
    eventType: 'row',
    key: [keyOf(sample)],
    fields,
  };
  return [
    `# Made from ${sample.description}. Every key: docs/guides/import.md.`,
    ...(tenant === undefined ? ['# `tenant` is a guess: no column names one.'] : []),
    stringify(body, { lineWidth: 0 }),
  ].join('\n');
}

/** A name for where files like this come from: of letters, digits, - and _. */
export function sourceName(file: string): string {
  const plain = (file.split('.')[0] ?? '').toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const trimmed = plain.replaceAll(/^-+|-+$/g, '').slice(0, 64);
  return trimmed === '' ? 'file' : trimmed;
}
