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

/** That a golden record was created, updated, merged into another, or deleted: the topic says which. */
export interface ContactChanged {
  /** `<contact id>:<version>:<kind>`. */
  event_id: string;
  tenant_id: string;
  contact_id: string;
  /** created, updated, merged or deleted. */
  kind: string;
  /** Of the golden record. */
  version: bigint;
  /** merged: the contact that it is part of now. */
  into: string | null;
  /** created: the contact that it was part of, where that came apart. */
  split_from: string | null;
  /** updated: the fields whose values are others, and `members`. */
  changed_fields: string[];
  /** Its source records after the change. */
  members: string[];
  /** `<source>/<source id>@<version>` of the source record whose change it follows from. */
  cause: string;
  /** Event time of that change. */
  occurred_at: number;
}

/** A source record that was not merged with all that it may be the same as, because a limit was reached. */
export interface ContactHeldBack {
  tenant_id: string;
  source: string;
  source_id: string;
  /** block: so many share what it was compared by; cluster: the contact would have too many source records. */
  reason: string;
  /** What is shared, e.g. phone; of a cluster, its contact id. */
  shared: string;
  limit: number;
  occurred_at: number;
}

/** What one source says of one contact, valid and normalised: the one shape that webhooks, tables and files become. */
export interface ContactObserved {
  tenant_id: string;
  /** `webhook:<source>`, `cdc:contacts` or `file:<name>`. */
  source: string;
  /** The contact's id in the source. */
  source_id: string;
  /** Grows with every change of the contact in its source: an LSN, or ms since the epoch. */
  version: bigint;
  /** Read by a snapshot of the source: changes of smaller versions may follow. */
  is_snapshot: boolean;
  /** The source has it no more; all that describes it is empty. */
  is_deleted: boolean;
  /** As the source writes it: NFC, single spaces, its own case. */
  full_name: string | null;
  given_name: string | null;
  family_name: string | null;
  /** Domain in ASCII and lower case; the local part as the source writes it. */
  email: string | null;
  /** E.164. */
  phone: string | null;
  /** `YYYY-MM-DD`. */
  birth_date: string | null;
  street: string | null;
  /** A second line of the address. */
  locality: string | null;
  city: string | null;
  region: string | null;
  postcode: string | null;
  /** ISO 3166-1, two letters. */
  country: string | null;
  company: string | null;
  company_domain: string | null;
  tags: string[];
  created_at: number | null;
  /** When the source changed it. */
  updated_at: number;
  /** Data quality, 0 to 1: completeness, accuracy, timeliness. */
  quality: number;
}

/** A contact's lead score, with the features that it was made of. A tombstone says that the contact was deleted. */
export interface ContactScored {
  contact_id: string;
  tenant_id: string;
  /** 0 to 1. */
  score: number;
  /** Name of the model. */
  model: string;
  /** Digest of the model: which one it was. */
  model_version: string;
  login_count: number;
  api_calls: number;
  /** Bytes. */
  data_uploaded: number;
  email_valid: boolean;
  phone_valid: boolean;
  /** Networks among the contact's tags `social:<network>`. */
  social_profiles: number;
  emails_sent: number;
  opens: number;
  clicks: number;
  responses: number;
  /** Time of what the score follows: the newest of its events, the contact's change and the model's publication. */
  scored_at: number;
  /** Grows with every score of the contact. */
  version: bigint;
}

/** The golden record: one contact, of all the sources that know it. A tombstone says there is none any more. */
export interface ContactUnified {
  id: string;
  tenant_id: string;
  /** As the source writes it: NFC, single spaces, its own case. */
  full_name: string | null;
  given_name: string | null;
  family_name: string | null;
  /** Domain in ASCII and lower case; the local part as the source writes it. */
  email: string | null;
  /** E.164. */
  phone: string | null;
  /** `YYYY-MM-DD`. */
  birth_date: string | null;
  street: string | null;
  /** A second line of the address. */
  locality: string | null;
  city: string | null;
  region: string | null;
  postcode: string | null;
  /** ISO 3166-1, two letters. */
  country: string | null;
  company: string | null;
  company_domain: string | null;
  tags: string[];
  /** That of its best source record. */
  quality: number;
  /** `<source>/<source id>` of each source record, sorted. */
  members: string[];
  /** By field: `<source>/<source id>@<version>` of the record that its value is from. */
  provenance: Record<string, string>;
  /** The earliest of its source records. */
  created_at: number;
  /** The latest of its source records. */
  updated_at: number;
  /** Grows with every emission of the contact. */
  version: bigint;
}

/** What is known of a contact beyond its golden record, from our own tables and from providers. A tombstone says it was deleted. */
export interface ContactEnriched {
  /** The contact's. */
  id: string;
  tenant_id: string;
  email: string | null;
  /** Our own tables before the provider. */
  company: string | null;
  company_domain: string | null;
  industry: string | null;
  employees: number | null;
  /** Of the company: ISO 3166-1, two letters. */
  country: string | null;
  job_title: string | null;
  seniority: string | null;
  location: string | null;
  /** URLs. */
  social_profiles: string[];
  /** deliverable, undeliverable, risky or unknown. */
  email_status: string | null;
  /** Whether it is deliverable; null where nobody could say. */
  email_valid: boolean | null;
  /** By field: `cdc:companies`, or `<provider>@<when it answered, ISO 8601>`. */
  provenance: Record<string, string>;
  /** What each provider said. */
  providers: ProviderSays[];
  /** The contact's version that it follows. */
  revision: bigint;
  enriched_at: number;
  /** Grows with every emission: the contact's version, or one more than before. */
  version: bigint;
}

/** The journal: what providers have answered about a contact, each subject's newest answer. A replay reads it in place of calling them. A tombstone says the contact was deleted. */
export interface EnrichmentAnswered {
  tenant_id: string;
  contact_id: string;
  /** Oldest first, at most 20. */
  answers: JournaledAnswer[];
}

/** What came of asking one provider about one contact. */
export interface EnrichmentCompleted {
  tenant_id: string;
  contact_id: string;
  /** company, person or verification. */
  provider: string;
  /** found, not_found or failed. */
  outcome: string;
  /** Whether nobody was called for it. */
  cached: boolean;
  /** From the first attempt to the answer; 0 when cached. */
  duration_ms: number;
  completed_at: number;
}

/** A revision of a contact that matters to its enrichment: what providers are asked by, and what our own tables say. A tombstone says the contact was deleted. */
export interface EnrichmentRequested {
  tenant_id: string;
  contact_id: string;
  /** The contact's version. */
  revision: bigint;
  /** The topic that the contact is from. */
  source: string;
  /** What person and verification are asked by: lower case. */
  email: string | null;
  /** What company is asked by: the company's, else that of the e-mail address unless anybody can have one there. */
  domain: string | null;
  /** What our own tables say. */
  company: string | null;
  company_domain: string | null;
  industry: string | null;
  requested_at: number;
}

export interface JournaledAnswer {
  provider: string;
  /** The domain or e-mail address that was asked about. */
  subject: string;
  /** found or not_found. */
  outcome: string;
  fields: Record<string, string>;
  answered_at: number;
}

export interface ProviderSays {
  /** company, person or verification. */
  provider: string;
  /** What it was asked about. */
  subject: string;
  /** Of the last time that it was asked: found, not_found or failed. */
  outcome: string;
  /** Of the answer that counts; null when there is none. */
  answered_at: number | null;
  /** Whether that answer was older than its time to live. */
  stale: boolean;
  /** failed: why. */
  reason: string | null;
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

/** How long the API calls of one tenant took in one minute, as quantiles and as the mergeable sketch that they are read from (DDSketch). Emitted on each update: the newest version of a window counts. */
export interface ApiLatency {
  tenant_id: string;
  window_start: number;
  window_end: number;
  /** Calls. */
  count: number;
  /** ms; a relative error of 1 % at most, as that of the others. */
  p50: number;
  /** ms. */
  p95: number;
  /** ms. */
  p99: number;
  /** Calls that took no time at all (0.001 ms at most). */
  zeros: number;
  /** The sketch's bins, ascending: bin k holds durations from g^(k-1) to g^k ms, g = 1.01 / 0.99. */
  bins: number[];
  /** Calls in each of the bins. */
  bin_counts: number[];
  /** Grows with every update of the window. */
  version: bigint;
}

/** Golden contacts of one tenant that changed in one minute. Emitted on each update: the newest version of a window counts. */
export interface ContactVelocity {
  tenant_id: string;
  window_start: number;
  window_end: number;
  /** Contacts that were not there before. */
  created: number;
  /** New versions of contacts that were. */
  updated: number;
  /** Contacts that are there no more. */
  deleted: number;
  /** created + updated: golden records written. */
  count: number;
  /** Grows with every update of the window. */
  version: bigint;
}

/** Enrichments of one tenant that completed in one hour. Emitted on each update: the newest version of a window counts. */
export interface EnrichmentRate {
  tenant_id: string;
  window_start: number;
  window_end: number;
  /** Enrichments that completed, whatever came of them. */
  total: number;
  /** Those that found something: the successes. */
  found: number;
  /** Those whose provider knows nothing of the contact. */
  not_found: number;
  /** Those that no provider answered. */
  failed: number;
  /** Those answered without a call. */
  cached: number;
  /** found / total. */
  rate: number;
  /** Grows with every update of the window. */
  version: bigint;
}

/** What of the webhooks of one tenant was rejected in five minutes. Emitted on each update: the newest version of a window counts. */
export interface ErrorRate {
  tenant_id: string;
  window_start: number;
  window_end: number;
  /** Webhooks received, each once. */
  total: number;
  /** Those that validation rejected. */
  errors: number;
  /** errors / total. */
  rate: number;
  /** Grows with every update of the window. */
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

/** A model that contacts are scored with: the newest of its name counts. */
export interface ScoringModel {
  /** The model `lead` is used. */
  name: string;
  /** First 16 hex digits of the SHA-256 of `model`. */
  version: string;
  /** Of two models of a name the later one counts. */
  published_at: number;
  /** Their names, in the model's order. */
  features: string[];
  /** XGBoost's JSON, without what only training needs. */
  model: string;
}

/** What a tenant may send until then: the newest of a tenant counts. A tombstone ends it early. */
export interface TenantThrottled {
  tenant_id: string;
  /** Events a minute, in each ingestor; 0 takes none. */
  limit_per_minute: number;
  /** When it ends by itself. */
  until: number;
  /** For people: the tenant is told it. */
  reason: string;
  /** The alert that it follows; empty where an operator did it. */
  alert_id: string;
  throttled_at: number;
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
