// Generated from schemas/avro/*.avsc by `npm run generate`. Do not edit.
// `timestamp-millis` is a number of milliseconds since the epoch; logical type `bigint` is a bigint.

/** What we read of Debezium's change event for the table companies; Debezium registers the writer's schema itself. */
export interface CdcPublicCompaniesEnvelope {
  before: CdcPublicCompaniesValue | null;
  after: CdcPublicCompaniesValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicCompaniesValue {
  id: number;
  tenant_id: string | null;
  name: string | null;
  domain: string | null;
  industry: string | null;
}

/** What we read of Debezium's change event for the table contacts; Debezium registers the writer's schema itself. */
export interface CdcPublicContactsEnvelope {
  before: CdcPublicContactsValue | null;
  after: CdcPublicContactsValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicContactsValue {
  id: number;
  tenant_id: string | null;
  full_name: string | null;
  email: string | null;
  phone: string | null;
  company_id: number | null;
  tags: (string | null)[] | null;
  /** ISO 8601, UTC. */
  created_at: string | null;
  updated_at: string | null;
}

/** What we read of Debezium's change event for the table events; Debezium registers the writer's schema itself. */
export interface CdcPublicEventsEnvelope {
  before: CdcPublicEventsValue | null;
  after: CdcPublicEventsValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicEventsValue {
  id: number;
  tenant_id: string | null;
  contact_id: number | null;
  kind: string | null;
  occurred_at: string | null;
  /** JSON text. */
  props: string | null;
}

/** What we read of Debezium's change event for pgbench's table accounts; Debezium registers the writer's schema itself. */
export interface CdcPublicPgbenchAccountsEnvelope {
  before: CdcPublicPgbenchAccountsValue | null;
  after: CdcPublicPgbenchAccountsValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicPgbenchAccountsValue {
  aid: number;
  bid: number | null;
  abalance: number | null;
}

/** What we read of Debezium's change event for pgbench's table branches; Debezium registers the writer's schema itself. */
export interface CdcPublicPgbenchBranchesEnvelope {
  before: CdcPublicPgbenchBranchesValue | null;
  after: CdcPublicPgbenchBranchesValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicPgbenchBranchesValue {
  bid: number;
  bbalance: number | null;
}

/** What we read of Debezium's change event for pgbench's table history; Debezium registers the writer's schema itself. */
export interface CdcPublicPgbenchHistoryEnvelope {
  before: CdcPublicPgbenchHistoryValue | null;
  after: CdcPublicPgbenchHistoryValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicPgbenchHistoryValue {
  id: number;
  tid: number | null;
  bid: number | null;
  aid: number | null;
  delta: number | null;
  /** Microseconds since the epoch, in the time zone of the server: UTC. */
  mtime: number | null;
}

/** What we read of Debezium's change event for pgbench's table tellers; Debezium registers the writer's schema itself. */
export interface CdcPublicPgbenchTellersEnvelope {
  before: CdcPublicPgbenchTellersValue | null;
  after: CdcPublicPgbenchTellersValue | null;
  source: Source;
  /** c(reate), u(pdate), d(elete), r(ead by a snapshot), t(runcate), m(essage). */
  op: string;
  /** When the connector read it, ms. */
  ts_ms: number | null;
}

export interface CdcPublicPgbenchTellersValue {
  tid: number;
  bid: number | null;
  tbalance: number | null;
}

export interface Source {
  ts_ms: number;
  snapshot: string | null;
  table: string | null;
  lsn: bigint | null;
  /** Postgres: the LSNs of the last commit and of the last change, as a JSON array of strings. */
  sequence: string | null;
  /** MySQL and MariaDB: the binlog file. */
  file: string | null;
  /** Where the event begins in that file. */
  pos: number | null;
  /** Which row of the event it is. */
  row: number | null;
}

/** A pattern was found: at most one of a pattern and subject in the pattern's time. */
export interface AlertRaised {
  /** `<pattern>:<subject>:<start>`: the same in every run over the same input. */
  alert_id: string;
  /** `abandoned_import`, `suspicious_activity` or `data_quality_issue`. */
  pattern: string;
  /** `critical`, `warning` or `info`. */
  severity: string;
  /** Empty where the subject belongs to none. */
  tenant_id: string;
  /** What it is about: a tenant, or an import's id. */
  subject: string;
  /** Event time of the first event. */
  started_at: number;
  /** Event time at which the pattern was whole. */
  raised_at: number;
  /** Events that it was found in. */
  count: number;
  /** One sentence for people. */
  summary: string;
}

/** The current state of one contact, enriched with its company. A tombstone says it was deleted. */
export interface Contact {
  id: string;
  tenant_id: string;
  full_name: string;
  email: string;
  /** E.164. */
  phone: string | null;
  company_id: string | null;
  /** The company's name, from the companies table. */
  company: string | null;
  company_domain: string | null;
  industry: string | null;
  tags: string[];
  /** Lead score, 0 to 1. */
  score: number | null;
  created_at: number;
  updated_at: number;
  /** Grows with every emission of the contact: the newer LSN of its own and its company's row, or one more than before. */
  version: bigint;
}

/** One valid, deduplicated event, from a webhook or from the events table. */
export interface EventRecorded {
  event_id: string;
  tenant_id: string;
  /** `webhook:<source>` or `cdc:<table>`. */
  source: string;
  event_type: string;
  entity_id: string;
  /** Event time. */
  occurred_at: number;
  /** When Reachflow first had it. */
  received_at: number;
  /** JSON text. */
  payload: string;
}

/** What became of an import: written in the transaction of its first rows, and of its last. */
export interface FileImportChanged {
  import_id: string;
  /** `file:<name>`, of the map. */
  source: string;
  /** The file's name, without directories. */
  file: string;
  /** Where its rows went. */
  topic: string;
  /** `running` or `finished`. */
  state: string;
  started_at: number;
  updated_at: number;
  /** So far, rejected ones included. */
  rows: number;
  rejected: number;
  file_bytes: number;
}

/** One row of an imported file, as its map shaped it. */
export interface FileRowReceived {
  /** What was imported: the same for the same content and map. */
  import_id: string;
  /** `file:<name>`, of the map. */
  source: string;
  /** The file's name, without directories. */
  file: string;
  /** What a row is, of the map, e.g. `contact`. */
  event_type: string;
  /** When the import began. */
  received_at: number;
  tenant_id: string;
  /** Of the file, from 1, without headings: with import_id the row's identity. */
  row: number;
  /** What the row is about: with the tenant, the record's key. */
  entity_id: string;
  /** When the row says it happened, if it does. */
  occurred_at: number | null;
  /** The mapped fields, JSON text. */
  payload: string;
}

/** An account and its balance. */
export interface LedgerAccount {
  id: string;
  branch_id: string;
  balance: number;
  /** The LSN of the change. */
  version: bigint;
}

/** A branch and its balance. */
export interface LedgerBranch {
  id: string;
  balance: number;
  /** The LSN of the change. */
  version: bigint;
}

/** One entry of the history: it moved an account, a teller and a branch by the same amount. */
export interface LedgerEntry {
  id: string;
  account_id: string;
  teller_id: string;
  branch_id: string;
  delta: number;
  posted_at: number;
}

/** A teller and the balance of what it moved. */
export interface LedgerTeller {
  id: string;
  branch_id: string;
  balance: number;
  /** The LSN of the change. */
  version: bigint;
}

/** Events of one tenant in one window. Emitted on each update: the newest version of a window counts. */
export interface TenantCount {
  tenant_id: string;
  window_start: number;
  window_end: number;
  count: number;
  /** Grows with every update of the window. */
  version: bigint;
}

/** A payload that is kept beside the topic, by its content: docs/adr/0017-claim-check.md. */
export interface PayloadRef {
  /** Of its UTF-8 bytes, lower-case hex. */
  sha256: string;
  /** Day on which it was stored, UTC, days since 1970-01-01: with the hash, where it is. */
  day: number;
  /** Its length in bytes, at least 1. */
  bytes: number;
}

/** One accepted webhook request, as received. */
export interface WebhookReceived {
  /** `<source>:<delivery id>`; what deduplication goes by. */
  event_id: string;
  tenant_id: string;
  /** The {source} of POST /webhooks/ingest/{source}. */
  source: string;
  /** The sender's name for the event, e.g. `push`. */
  event_type: string;
  /** The sender's id, the same on each of its retries. */
  delivery_id: string;
  /** What the event is about: with the tenant, the record's key. */
  entity_id: string;
  /** When the sender says it happened, if it does. */
  occurred_at: number | null;
  received_at: number;
  /** The body, JSON text, unaltered; empty where payload_ref says where it is. */
  payload: string;
}
