import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import { readContact } from '../contact.ts';
import type { Versioned } from '../newest.ts';
import { type Encoded, malformedText, type TextFault } from '../record.ts';

export type Cell = string | number | boolean | null;

/** A row of `contacts_all`. */
export interface ContactRow extends Versioned {
  /** In the order of `COLUMNS`. */
  readonly cells: readonly Cell[];
  /** About what it takes in a statement, UTF-16 units. */
  readonly size: number;
}

const postgresText: TextFault = (text) =>
  text.includes('\0')
    ? 'holds the character U+0000, which Postgres text cannot store'
    : malformedText(text);

/** The cells between id and version of a deleted contact: nothing personal is left. */
const CLEARED: readonly Cell[] = [...Array.from({ length: 8 }, () => null), '[]', null, null, null];

function contactCells(contact: Contact): readonly Cell[] {
  return [
    contact.tenant_id,
    contact.full_name,
    contact.email,
    contact.phone,
    contact.company_id,
    contact.company,
    contact.company_domain,
    contact.industry,
    JSON.stringify(contact.tags),
    contact.score,
    contact.created_at,
    contact.updated_at,
  ];
}

/** A `contact.golden` record as a row; a tombstone becomes a soft delete without personal data. */
export function encodeContact(record: SinkRecord): Encoded<ContactRow> {
  const contact = readContact(record, postgresText);
  if (contact.error !== undefined) return contact;
  const { key, version } = record;
  const inner = contact.row === null ? CLEARED : contactCells(contact.row);
  const cells = [key, ...inner, String(version), contact.row === null];
  let size = 0;
  for (const cell of cells) size += typeof cell === 'string' ? cell.length : 8;
  return { row: { key, version, cells, size } };
}

/** One array per column, as `unnest` takes them. */
export function toColumns(
  rows: readonly ContactRow[],
  width: number,
): readonly (readonly Cell[])[] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row.cells[column] ?? null));
}
