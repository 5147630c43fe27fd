import { type Check, compareMaps, differenceCheck } from './check.ts';
import {
  type ContactState,
  companyRowText,
  contactRowText,
  type ExpectedContact,
} from './contacts-replay.ts';
import type { Facts, SourceTables, StoredContact, StoreName, TopicFacts } from './facts.ts';

const STORES: Readonly<Record<StoreName, string>> = {
  postgres: 'Postgres',
  clickhouse: 'ClickHouse',
  elasticsearch: 'Elasticsearch',
};

/** The tables' rows are the last row versions in the topics: change data capture has missed nothing. */
export function captureChecks(facts: TopicFacts & { readonly source: SourceTables }): Check[] {
  const { contacts, events, source, truncated } = facts;
  const same = (last: string, row: string) =>
    last === row ? undefined : `the table has ${row}, the topic ${last}`;
  const check = (
    table: string,
    last: ReadonlyMap<string, string>,
    rows: ReadonlyMap<string, string>,
  ) => {
    const mayExtra = () => truncated.has(`cdc.public.${table}`);
    const difference = compareMaps(last, rows, { differs: same, mayExtra });
    return differenceCheck(`Table ${table} = its change events`, difference);
  };
  const mapped = <V>(rows: ReadonlyMap<string, V>, text: (row: V) => string) =>
    new Map([...rows].map(([id, row]) => [id, text(row)]));
  return [
    check(
      'companies',
      mapped(contacts.lastCompanies, companyRowText),
      mapped(source.companies, companyRowText),
    ),
    check(
      'contacts',
      mapped(contacts.lastContacts, contactRowText),
      mapped(source.contacts, contactRowText),
    ),
    check('events', events.lastRows, source.events),
  ];
}

/** The first field that differs, for people. */
export function stateDiffers(expected: ContactState, actual: ContactState): string | undefined {
  for (const field of Object.keys(expected) as (keyof ContactState)[]) {
    const wanted = JSON.stringify(expected[field]);
    const found = JSON.stringify(actual[field]);
    if (wanted !== found) return `${field} is ${found}, should be ${wanted}`;
  }
  return undefined;
}

function contactDiffers(expected: ExpectedContact, actual: StoredContact): string | undefined {
  const why = stateDiffers(expected.state, actual.state);
  if (why !== undefined) return why;
  // Not equal: the pipeline raises the version where a change was read after a later one of the company.
  if (actual.version >= expected.leastVersion) return undefined;
  return `version is ${actual.version}, older than the change ${expected.leastVersion}`;
}

/** Each store has exactly the valid contacts, joined with their companies; and all three have the same versions. */
export function contactsChecks(facts: Facts): Check[] {
  const { contacts, storedContacts, truncated, source } = facts;
  const companiesGone = truncated.has('cdc.public.companies');
  const expected = contacts.expected(companiesGone ? source.companies : undefined);
  const mayExtra = () => truncated.has('cdc.public.contacts');
  const stores = Object.keys(STORES) as StoreName[];
  const checks = stores.map((store) =>
    differenceCheck(
      `Contacts in ${STORES[store]}`,
      compareMaps(expected, storedContacts[store], { differs: contactDiffers, mayExtra }),
    ),
  );
  return [...checks, ...sameVersions(facts)];
}

function sameVersions({ storedContacts }: Pick<Facts, 'storedContacts'>): Check[] {
  const { postgres, clickhouse, elasticsearch } = storedContacts;
  const differs = (a: StoredContact, b: StoredContact) =>
    a.version === b.version ? stateDiffers(a.state, b.state) : `${b.version} against ${a.version}`;
  return [
    differenceCheck(
      'Same versions: ClickHouse as Postgres',
      compareMaps(postgres, clickhouse, { differs }),
    ),
    differenceCheck(
      'Same versions: Elasticsearch as Postgres',
      compareMaps(postgres, elasticsearch, { differs }),
    ),
  ];
}
