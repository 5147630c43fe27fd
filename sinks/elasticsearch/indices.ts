import type { estypes } from '@elastic/elasticsearch';
import type { TableModel } from '../fields.ts';
import { DELETED } from './schema.ts';

export const DAY_MS = 86_400_000;

/**
 * Days beyond the retention after which a day's index is surely gone. Only then do records of such a day go to the
 * index of old ones: before that, they could be in both.
 */
const GRACE_DAYS = 7;

/** How far ahead of our clock a record's time may be. Times without a bound would make indices without a bound. */
const FUTURE_DAYS = 7;

/** Above the templates that servers come with (100 to 200). */
export const TEMPLATE_PRIORITY = 500;

/** The names under which a topic's documents are kept and found. */
export interface IndexNames {
  /** What readers search; also what upserts are written through. */
  readonly alias: string;
  /** What the names of its indices begin with: the alias, or that of the replay that became live. */
  readonly base: string;
  /** The composable index template. */
  readonly template: string;
  /** Indices that the template is for. */
  readonly pattern: string;
  /** The first index of an upsert topic; the index of old records of an append topic. */
  readonly first: string;
}

/** @param prefix `elasticsearch.indexPrefix`. */
export function namesOf({ spec, base: given }: TableModel, prefix: string): IndexNames {
  const alias = `${prefix}${spec.table}`;
  const base = given === undefined ? alias : `${prefix}${given}`;
  const common = { alias, base, template: base };
  return spec.kind === 'append'
    ? { ...common, pattern: `${base}-*.*.*`, first: `${base}-older` }
    : { ...common, pattern: `${base}-v*`, first: `${base}-v1` };
}

/** What readers do not see of the index behind an alias: the remainders of deleted documents. */
export function aliasFilter({ spec }: TableModel): { filter?: estypes.QueryDslQueryContainer } {
  if (!spec.deletes) return {};
  return { filter: { bool: { must_not: [{ term: { [DELETED]: { value: true } } }] } } };
}

/** The day of a time, UTC: `2026.11.21`. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10).replaceAll('-', '.');
}

/** The day that an index of a base is for, ms since the epoch; undefined for other names. */
export function dayOfIndex(index: string, base: string): number | undefined {
  const [, year, month, day] = /^-(\d{4})\.(\d{2})\.(\d{2})$/.exec(index.slice(base.length)) ?? [];
  if (!index.startsWith(base) || year === undefined) return undefined;
  return Date.parse(`${year}-${month}-${day}T00:00:00Z`);
}

/**
 * The index of a record of an append topic: that of its event time's day, which is the same whenever the record
 * comes again (see the ADR on Elasticsearch indices). Records older than any day that is kept share one index.
 * @param time ms since the epoch. @param now of the sink's clock.
 * @returns undefined for a time too far in the future.
 */
export function indexFor(
  names: IndexNames,
  time: number,
  retentionDays: number,
  now: number,
): string | undefined {
  if (time > now + FUTURE_DAYS * DAY_MS) return undefined;
  if (time < now - (retentionDays + GRACE_DAYS) * DAY_MS) return names.first;
  return `${names.base}-${dayOf(time)}`;
}
