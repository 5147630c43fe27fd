import type { StoreName, StoreSpec } from './stores.ts';
import type {
  AlertRaised,
  ApiLatency,
  CdcPublicCompaniesEnvelope,
  CdcPublicContactsEnvelope,
  CdcPublicEventsEnvelope,
  CdcPublicPgbenchAccountsEnvelope,
  CdcPublicPgbenchBranchesEnvelope,
  CdcPublicPgbenchHistoryEnvelope,
  CdcPublicPgbenchTellersEnvelope,
  Contact,
  ContactChanged,
  ContactEnriched,
  ContactHeldBack,
  ContactObserved,
  ContactScored,
  ContactUnified,
  ContactVelocity,
  EnrichmentAnswered,
  EnrichmentCompleted,
  EnrichmentRate,
  EnrichmentRequested,
  ErrorRate,
  EventRecorded,
  FileImportChanged,
  FileRowReceived,
  LedgerAccount,
  LedgerBranch,
  LedgerEntry,
  LedgerTeller,
  ScoringModel,
  TenantCount,
  TenantThrottled,
  WebhookReceived,
} from './types.ts';

/**
 * The one map of topics: the only place that names a topic, its key, value schema, partitions, retention and
 * limits. Names are `<domain>.<entity>.<event>`; change data is `cdc.<schema>.<table>`.
 */

const DAY = 86_400_000;
const MIB = 1_048_576;
/** Kafka's word for no retention limit. */
const FOREVER = -1;

/** `string`: UTF-8 text. `avro`: Debezium's key record in Confluent wire format, from the registry. */
export type KeyFormat = 'string' | 'avro';

/** Who registers the value's writer schema: we do, or Debezium (then the `.avsc` is only our reader's). */
export type SchemaOwner = 'reachflow' | 'debezium';

export interface TopicSpec {
  /** What the key holds, for people. */
  readonly key: string;
  readonly keyFormat: KeyFormat;
  /** File name in `schemas/avro`, without `.avsc`. */
  readonly schema: string;
  readonly schemaOwner: SchemaOwner;
  /** Partitions in production; a development stack uses `kafka.partitions` (default 4) instead. */
  readonly partitions: number;
  readonly cleanup: 'delete' | 'compact' | 'compact,delete';
  readonly retentionMs: number;
  readonly maxMessageBytes: number;
  /** Whether a large `payload` may be kept beside the topic, with `payload_ref` in its place. */
  readonly claims?: boolean;
  /** Where sinks keep its records; none where no sink writes it. */
  readonly store?: StoreSpec;
  /** The optional pipeline that it belongs to (`pipelines.optional`); without it the topic is not there. */
  readonly part?: OptionalPart;
}

/** Pipelines that run only where the configuration names them. */
export const optionalParts = [
  'ledger',
  'alerts',
  'identity',
  'enrichment',
  'scoring',
  'metrics',
] as const;
export type OptionalPart = (typeof optionalParts)[number];

/** Carries its value's type at compile time only. */
interface TypedTopicSpec<V> extends TopicSpec {
  readonly valueType?: V;
}

function topic<V>(
  spec: Pick<TopicSpec, 'key' | 'schema' | 'partitions'> & Partial<TopicSpec>,
): TypedTopicSpec<V> {
  return {
    keyFormat: 'string',
    schemaOwner: 'reachflow',
    cleanup: 'delete',
    retentionMs: 7 * DAY,
    maxMessageBytes: MIB,
    ...spec,
  };
}

const cdc = {
  keyFormat: 'avro',
  schemaOwner: 'debezium',
  cleanup: 'compact,delete',
  key: 'primary key',
  partitions: 50,
} as const;

/** pgbench's tables and what is made of them: the proof that no change is lost, repeated or reordered. */
const pgbench = { ...cdc, part: 'ledger' } as const;

function ledger<V>(schema: string, table: string, comment: string): TypedTopicSpec<V> {
  return topic<V>({
    key: 'row id',
    schema,
    partitions: 50,
    cleanup: 'compact',
    part: 'ledger',
    store: {
      table,
      comment,
      stores: ['postgres', 'clickhouse', 'elasticsearch'],
      kind: 'upsert',
      key: ['id'],
      deletes: true,
      version: 'version',
    },
  });
}

/** That a golden record was created, updated, merged or deleted. */
function contactChange(): TypedTopicSpec<ContactChanged> {
  return topic({ key: 'contact id', schema: 'contact-changed', partitions: 100, part: 'identity' });
}

/** What tenants did in windows of event time: a row per tenant and window, corrected by late data. */
function metric<V>(schema: string, table: string, comment: string): TypedTopicSpec<V> {
  return topic<V>({
    key: 'tenant',
    schema,
    partitions: 50,
    part: 'metrics',
    store: {
      table,
      comment,
      stores: ['clickhouse'],
      kind: 'upsert',
      key: ['tenant_id', 'window_start'],
      deletes: false,
      version: 'version',
      lowCardinality: ['tenant_id'],
    },
  });
}

/** A webhook body may have 5 MB; the record around it needs a little more. */
const PAYLOAD_BYTES = 6 * MIB;

export const topics = {
  'webhook.received': topic<WebhookReceived>({
    key: 'tenant + entity id',
    schema: 'webhook-received',
    partitions: 100,
    maxMessageBytes: PAYLOAD_BYTES,
    claims: true,
  }),
  'file.row.received': topic<FileRowReceived>({
    key: 'tenant + entity id',
    schema: 'file-row-received',
    partitions: 100,
    maxMessageBytes: PAYLOAD_BYTES,
  }),
  // Kept for ever: a finished file must not count again, however late it comes back.
  'file.import.changed': topic<FileImportChanged>({
    key: 'import id',
    schema: 'file-import-changed',
    partitions: 10,
    cleanup: 'compact',
    retentionMs: FOREVER,
  }),
  'cdc.public.contacts': topic<CdcPublicContactsEnvelope>({ ...cdc, schema: 'cdc-contacts' }),
  // Read whole, as a table, at each start: a row that expired would look deleted.
  'cdc.public.companies': topic<CdcPublicCompaniesEnvelope>({
    ...cdc,
    schema: 'cdc-companies',
    cleanup: 'compact',
    retentionMs: FOREVER,
  }),
  'cdc.public.events': topic<CdcPublicEventsEnvelope>({ ...cdc, schema: 'cdc-events' }),
  'event.recorded': topic<EventRecorded>({
    key: 'tenant + entity id',
    schema: 'event-recorded',
    partitions: 100,
    maxMessageBytes: PAYLOAD_BYTES,
    store: {
      table: 'events',
      comment: 'Valid, deduplicated events.',
      stores: ['clickhouse', 'elasticsearch'],
      kind: 'append',
      key: ['event_id'],
      deletes: false,
      time: 'occurred_at',
      orderBy: ['tenant_id', 'occurred_at', 'event_id'],
      lowCardinality: ['tenant_id', 'source', 'event_type'],
      search: { tenant_id: 'exact' },
      payload: ['payload'],
    },
  }),
  'contact.golden': topic<Contact>({
    key: 'contact id',
    schema: 'contact',
    partitions: 100,
    cleanup: 'compact',
    store: {
      table: 'contacts',
      comment: 'Contacts by id.',
      stores: ['postgres', 'clickhouse', 'elasticsearch'],
      kind: 'upsert',
      key: ['id'],
      deletes: true,
      version: 'version',
      lowCardinality: ['tenant_id'],
      search: {
        tenant_id: 'exact',
        full_name: 'parts',
        email: 'caseless',
        company: 'words',
      },
    },
  }),
  // Keyed by tenant: what may be the same contact meets in one task (docs/adr/0018-contact-identity.md).
  'contact.observed': topic<ContactObserved>({
    key: 'tenant',
    schema: 'contact-observed',
    partitions: 100,
    part: 'identity',
  }),
  'contact.unified': topic<ContactUnified>({
    key: 'contact id',
    schema: 'contact-unified',
    partitions: 100,
    cleanup: 'compact',
    part: 'identity',
    store: {
      table: 'unified_contacts',
      comment: 'Golden records by contact id: one of all that the sources know of a person.',
      stores: ['postgres', 'clickhouse', 'elasticsearch'],
      kind: 'upsert',
      key: ['id'],
      deletes: true,
      version: 'version',
      lowCardinality: ['tenant_id', 'country'],
      search: {
        tenant_id: 'exact',
        full_name: 'parts',
        email: 'caseless',
        company: 'words',
      },
    },
  }),
  'contact.created': contactChange(),
  'contact.updated': contactChange(),
  'contact.merged': contactChange(),
  'contact.deleted': contactChange(),
  'contact.held_back': topic<ContactHeldBack>({
    key: 'tenant',
    schema: 'contact-held-back',
    partitions: 50,
    part: 'identity',
  }),
  'enrichment.requested': topic<EnrichmentRequested>({
    key: 'contact id',
    schema: 'enrichment-requested',
    partitions: 50,
    retentionMs: DAY,
    part: 'enrichment',
  }),
  // The journal, partitioned as the requests: a replay joins both (docs/adr/0023-journaled-enrichment.md).
  'enrichment.answered': topic<EnrichmentAnswered>({
    key: 'contact id',
    schema: 'enrichment-answered',
    partitions: 50,
    cleanup: 'compact',
    retentionMs: FOREVER,
    part: 'enrichment',
  }),
  'enrichment.completed': topic<EnrichmentCompleted>({
    key: 'contact id',
    schema: 'enrichment-completed',
    partitions: 50,
    part: 'enrichment',
  }),
  'contact.enriched': topic<ContactEnriched>({
    key: 'contact id',
    schema: 'contact-enriched',
    partitions: 100,
    cleanup: 'compact',
    retentionMs: FOREVER,
    part: 'enrichment',
    store: {
      table: 'contact_enrichments',
      comment: 'What providers and our own tables say of contacts, by contact id.',
      stores: ['postgres', 'clickhouse'],
      kind: 'upsert',
      key: ['id'],
      deletes: true,
      version: 'version',
      lowCardinality: ['tenant_id', 'industry', 'country', 'seniority', 'email_status'],
    },
  }),
  'metric.tenant.count': topic<TenantCount>({
    key: 'tenant',
    schema: 'tenant-count',
    partitions: 50,
    store: {
      table: 'tenant_counts',
      comment: 'Events per tenant and window.',
      stores: ['clickhouse'],
      kind: 'upsert',
      key: ['tenant_id', 'window_start'],
      deletes: false,
      version: 'version',
      lowCardinality: ['tenant_id'],
    },
  }),
  'metric.contact.velocity': metric<ContactVelocity>(
    'contact-velocity',
    'contact_velocity',
    'Golden contacts created, updated and deleted per tenant and minute.',
  ),
  'metric.enrichment.rate': metric<EnrichmentRate>(
    'enrichment-rate',
    'enrichment_rate',
    'Enrichments and what came of them per tenant and hour.',
  ),
  'metric.api.latency': metric<ApiLatency>(
    'api-latency',
    'api_latency',
    'Durations of API calls per tenant and minute.',
  ),
  'metric.error.rate': metric<ErrorRate>(
    'error-rate',
    'error_rate',
    'Webhooks received and rejected per tenant and five minutes.',
  ),
  'alert.raised': topic<AlertRaised>({
    key: 'tenant, or what the alert is about',
    schema: 'alert-raised',
    partitions: 50,
    part: 'alerts',
    store: {
      table: 'alerts',
      comment: 'Patterns that were found, each once.',
      stores: ['clickhouse'],
      kind: 'append',
      key: ['alert_id'],
      deletes: false,
      time: 'raised_at',
      orderBy: ['tenant_id', 'raised_at', 'alert_id'],
      lowCardinality: ['pattern', 'severity', 'tenant_id'],
    },
  }),
  'contact.scored': topic<ContactScored>({
    key: 'contact id',
    schema: 'contact-scored',
    partitions: 100,
    cleanup: 'compact',
    part: 'scoring',
    store: {
      table: 'contact_scores',
      comment: 'Lead scores of contacts, with the features that they were made of.',
      stores: ['postgres', 'clickhouse', 'elasticsearch'],
      kind: 'upsert',
      key: ['contact_id'],
      deletes: true,
      version: 'version',
      lowCardinality: ['tenant_id', 'model', 'model_version'],
      search: { tenant_id: 'exact' },
    },
  }),
  // Read whole, as a table, at each start.
  'scoring.model': topic<ScoringModel>({
    key: 'model name',
    schema: 'scoring-model',
    partitions: 1,
    cleanup: 'compact',
    retentionMs: FOREVER,
    part: 'scoring',
  }),
  // Read whole by each ingestor. What is over is of no interest: a tombstone or the next one takes its place.
  'tenant.throttled': topic<TenantThrottled>({
    key: 'tenant',
    schema: 'tenant-throttled',
    partitions: 50,
    cleanup: 'compact',
    retentionMs: FOREVER,
    part: 'alerts',
  }),
  'cdc.public.pgbench_accounts': topic<CdcPublicPgbenchAccountsEnvelope>({
    ...pgbench,
    schema: 'cdc-pgbench-accounts',
  }),
  'cdc.public.pgbench_tellers': topic<CdcPublicPgbenchTellersEnvelope>({
    ...pgbench,
    schema: 'cdc-pgbench-tellers',
  }),
  'cdc.public.pgbench_branches': topic<CdcPublicPgbenchBranchesEnvelope>({
    ...pgbench,
    schema: 'cdc-pgbench-branches',
  }),
  'cdc.public.pgbench_history': topic<CdcPublicPgbenchHistoryEnvelope>({
    ...pgbench,
    schema: 'cdc-pgbench-history',
  }),
  'ledger.account': ledger<LedgerAccount>('ledger-account', 'ledger_accounts', 'Accounts by id.'),
  'ledger.teller': ledger<LedgerTeller>('ledger-teller', 'ledger_tellers', 'Tellers by id.'),
  'ledger.branch': ledger<LedgerBranch>('ledger-branch', 'ledger_branches', 'Branches by id.'),
  'ledger.entry': topic<LedgerEntry>({
    key: 'entry id',
    schema: 'ledger-entry',
    partitions: 50,
    part: 'ledger',
    store: {
      table: 'ledger_entries',
      comment: 'Entries of the history: each moved an account, a teller and a branch.',
      stores: ['postgres', 'clickhouse', 'elasticsearch'],
      kind: 'append',
      key: ['id'],
      deletes: false,
      time: 'posted_at',
    },
  }),
} as const;

export type TopicName = keyof typeof topics;
export type TopicValue<T extends TopicName> = NonNullable<(typeof topics)[T]['valueType']>;

export const topicNames = Object.keys(topics) as TopicName[];

/** The topics that a store keeps. @param parts the optional pipelines that run. */
export function topicsOf(store: StoreName, parts: readonly OptionalPart[] = []): TopicName[] {
  return topicNames.filter(
    (name) => isActive(name, parts) && storeOf(name)?.stores.includes(store) === true,
  );
}

/** The topics that are there, given the optional pipelines that run. */
export function activeTopics(parts: readonly OptionalPart[] = []): TopicName[] {
  return topicNames.filter((name) => isActive(name, parts));
}

/** Whether a topic is there, given the optional pipelines that run. */
export function isActive(topic: TopicName, parts: readonly OptionalPart[]): boolean {
  const { part }: TopicSpec = topics[topic];
  return part === undefined || parts.includes(part);
}

/** Whether payloads of a topic may be kept beside it: its values have `payload` and `payload_ref` then. */
export function isClaimable(topic: TopicName): boolean {
  const { claims = false }: TopicSpec = topics[topic];
  return claims;
}

/** How stores keep a topic; undefined where none does. */
export function storeOf(topic: TopicName): StoreSpec | undefined {
  const spec: TopicSpec = topics[topic];
  return spec.store;
}

/** Is this the logical name of a topic of the map? */
export function isTopicName(name: string): name is TopicName {
  return Object.hasOwn(topics, name);
}

/** How long a record that could not be delivered is kept for inspection and redrive. */
export const DLQ_RETENTION_MS = 14 * DAY;

/** The dead letter queue of one consumer of a topic: same partitions and key, original bytes, error in headers. */
export function dlqOf(source: string, consumer: string): string {
  return `${source}.${consumer}.dlq`;
}

/** What was done with dead letters, by whom: which are redriven or dropped, and the audit of it. One partition, kept for ever. */
export const DLQ_AUDIT_TOPIC = 'dlq.audit';

/** Roots of the Merkle trees over topics' records, as they were when recorded: what `verify` proves against. One partition, compacted, kept for ever. */
export const HISTORY_HEAD_TOPIC = 'history.head';

/** How far each polled source is, by its name; compacted. Written in the transaction of the records. */
export const POLL_POSITIONS_TOPIC = 'http-poll.positions';

/** Where records wait that a sink could not write yet: same partitions and key as the topic. */
export function retryOf(source: string, consumer: string): string {
  return `${source}.${consumer}.retry`;
}

/** The log behind the state of one sub-topology's tasks, partitioned as they are; packed, and shortened by the tasks. */
export function changelogOf(pipeline: string, subTopology: string): string {
  return `${pipeline}.${subTopology}.changelog`;
}

/** The internal topic behind an aggregate or a join of another key: packed records, read by its pipeline alone. */
export function repartitionOf(pipeline: string, name: string): string {
  return `${pipeline}.${name}.repartition`;
}
