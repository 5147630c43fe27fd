import type { CdcPublicCompaniesValue, CdcPublicContactsValue } from '../../schemas/types.ts';
import type { LedgerView } from '../input/ledger.ts';
import type { ContactState, ContactsReplay } from './contacts-replay.ts';
import type { EventsReplay } from './events-replay.ts';

/** An event as ClickHouse has it. */
export interface StoredEvent {
  readonly tenantId: string;
  readonly source: string;
  readonly eventType: string;
  /** ms since the epoch. */
  readonly occurredAt: number;
  readonly payloadDigest: string;
  /** Rows with this event id; more than one is a repeat that the table did not merge away. */
  readonly copies: number;
}

/** A contact as a store has it. */
export interface StoredContact {
  readonly state: ContactState;
  readonly version: bigint;
}

export type StoreName = 'postgres' | 'clickhouse' | 'elasticsearch';

/** What a DLQ holds of one original record. */
export interface FoundDeadLetter {
  /** Logical name of the original's topic. */
  readonly topic: string;
  readonly code: string;
  readonly message: string;
  /** MD5 of the value's bytes, in hex. */
  readonly digest: string;
  /** Headers that every dead letter must have and this one has not. */
  readonly missingHeaders: readonly string[];
  /** Dead letters of the same original by the same consumer. */
  readonly copies: number;
}

/** What the source topics hold, replayed. */
export interface TopicFacts {
  readonly events: EventsReplay;
  readonly contacts: ContactsReplay;
  /** Topics whose oldest records are gone by retention: the stores may have more than they tell. */
  readonly truncated: ReadonlySet<string>;
}

/** The rows of the source tables, by id. */
export interface SourceTables {
  readonly companies: ReadonlyMap<string, CdcPublicCompaniesValue>;
  readonly contacts: ReadonlyMap<string, CdcPublicContactsValue>;
  /** As `eventRowText` makes them. */
  readonly events: ReadonlyMap<string, string>;
}

/** Everything that verification compares; readers fill it, checks only look. */
export interface Facts extends TopicFacts {
  readonly source: SourceTables;
  readonly storedEvents: ReadonlyMap<string, StoredEvent>;
  /** `<tenant>@<start of the minute, ms>` → count. */
  readonly storedCounts: ReadonlyMap<string, number>;
  readonly storedContacts: Readonly<Record<StoreName, ReadonlyMap<string, StoredContact>>>;
  /** `<dlq topic>|<position of the original>` → what is there. */
  readonly deadLetters: ReadonlyMap<string, FoundDeadLetter>;
  /** What this run sent. */
  readonly ledger: LedgerView;
}
