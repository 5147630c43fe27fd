import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { fold, type MatchRecord } from '../match-record.ts';

/** A record of a labelled data set. */
export interface LabelledRecord {
  /** The person's number: records that share it are one person. For counting only. */
  readonly person: string;
  readonly record: MatchRecord;
}

/**
 * Febrl's data sets 1 (1,000 records, 500 pairs), 2 (5,000 records, 1,934 pairs) and 3 (5,000 records, up to five of a person besides
 * the original, 6,538 pairs): see febrl/NOTICE.
 */
export function loadFebrl(set: 1 | 2 | 3): LabelledRecord[] {
  const file = new URL(`./febrl/dataset${set}.csv.br`, import.meta.url);
  const [header = '', ...lines] = brotliDecompressSync(readFileSync(file))
    .toString('utf8')
    .trim()
    .split('\n');
  const columns = header.split(',').map((column) => column.trim());
  return lines.map((line) => {
    const cells = line.split(',');
    const cell = (column: string) => (cells[columns.indexOf(column)] ?? '').trim();
    return { person: cell('rec_id').split('-')[1] ?? '', record: toRecord(cell) };
  });
}

/** The social security number is left out: contacts have none. */
function toRecord(cell: (column: string) => string): MatchRecord {
  const [, year = '', month = '', day = ''] =
    /^(\d{4})(\d\d)(\d\d)$/.exec(cell('date_of_birth')) ?? [];
  return {
    given: fold(cell('given_name')),
    family: fold(cell('surname')),
    email: '',
    phone: '',
    birthDate: year === '' ? '' : `${year}-${month}-${day}`,
    street: fold(`${cell('street_number')} ${cell('address_1')}`),
    locality: fold(cell('address_2')),
    city: fold(cell('suburb')),
    region: fold(cell('state')),
    postcode: fold(cell('postcode')),
    company: '',
  };
}
