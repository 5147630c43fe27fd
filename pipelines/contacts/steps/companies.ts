import type { TableSpec } from '../../../runtime/state/broadcast-table.ts';
import { readEnvelope } from '../../../schemas/envelope.ts';

/** What a contact takes from its company's row. */
export interface Company {
  readonly name: string | null;
  readonly domain: string | null;
  readonly industry: string | null;
  /** LSN of the row's last change. */
  readonly lsn: bigint;
}

/** The companies table, held whole by each process: contacts are joined to it by company id. */
export const companies: TableSpec<'cdc.public.companies', Company> = {
  topic: 'cdc.public.companies',
  toRow(value) {
    const change = readEnvelope(value);
    if (change?.kind !== 'change') return undefined;
    const { after, before, version: lsn } = change;
    if (after === null)
      return before === null ? undefined : { key: String(before.id), row: undefined };
    const { name, domain, industry } = after;
    return { key: String(after.id), row: { name, domain, industry, lsn } };
  },
};
