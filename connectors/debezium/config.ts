import { z } from 'zod';

const CDC_TABLES = ['public.contacts', 'public.companies', 'public.events'];

/** The `connect` section of the configuration: where Kafka Connect is. */
export const connectConfigSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:8083')
    .describe("Kafka Connect's REST API."),
  username: z.string().default('').describe('User, if it asks for one (HTTP Basic).'),
  password: z.string().default('').describe('Password of the user.').meta({ secret: true }),
  requestTimeoutMs: z.int().min(100).default(10_000).describe('Time for one answer of it, ms.'),
  maxAttempts: z
    .int()
    .min(1)
    .max(20)
    .default(6)
    .describe('Attempts of one request while it is rebalancing or away.'),
});

/** The kinds of database that can be captured. */
export const databaseKinds = ['postgres', 'mysql', 'mariadb'] as const;
export type DatabaseKind = (typeof databaseKinds)[number];

/** Settings that say what a capture is, or that a guarantee stands on. */
const OURS =
  /^(name|connector\.class|tasks\.max|topic\.prefix|exactly\.once\.support|transaction\.boundary|tombstones\.on\.delete)$/;

/** What one capture is told: the `debezium` section itself, and each of its `sources`. */
const captureFields = {
  database: z
    .enum(databaseKinds)
    .default('postgres')
    .describe('What kind of database is captured.'),
  databaseUrl: z
    .string()
    .optional()
    .meta({ secret: true })
    .describe(
      'The source database: postgres://, or mysql:// for MySQL and MariaDB; postgres.url where it is absent.',
    ),
  connectorName: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{1,100}$/)
    .default('reachflow-cdc')
    .describe('Name of the connector in Kafka Connect; the namespace, if any, goes before it.'),
  tables: z
    .array(z.string().regex(/^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/, '<schema>.<table>, lower case'))
    .min(1)
    .default(CDC_TABLES)
    .describe('Tables to capture; each needs its cdc.<schema>.<table> in the topics map.'),
  shards: z
    .record(z.string(), z.string().min(1))
    .default({})
    .describe(
      'For a table whose rows are in tables of other names, such as shards: what those match, a regular expression of <schema>.<table>.',
    ),
  shardKeys: z
    .enum(['shared', 'per-shard'])
    .default('shared')
    .describe(
      "Whether shards share one space of primary keys, or a record's key names its shard, too.",
    ),
  signalTable: z
    .string()
    .regex(/^(([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]{0,62})?$/, '[<schema>.]<table>, lower case')
    .default('reachflow_signal')
    .describe(
      'Table for snapshot signals, made where it is missing, beside the first captured table unless it names its schema; empty is none.',
    ),
  serverId: z
    .int()
    .min(1)
    .max(4_294_967_295)
    .optional()
    .describe(
      'MySQL and MariaDB: server id as which the binlog is read, unlike those of all servers; made from the name where it is absent.',
    ),
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, 'lower-case letters, digits and _')
    .default('reachflow_cdc')
    .describe('Postgres: replication slot; the namespace, if any, goes before it.'),
  publication: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _')
    .default('reachflow_cdc')
    .describe(
      'Postgres: publication, created for the captured tables; the namespace, if any, goes before it.',
    ),
  publicationMode: z
    .enum(['filtered', 'disabled'])
    .default('filtered')
    .describe(
      "Postgres: whether the publication is created and kept in step with the tables, or is its owner's to make.",
    ),
  snapshotMode: z
    .enum(['initial', 'no_data', 'when_needed', 'always', 'initial_only'])
    .default('initial')
    .describe("Debezium's snapshot.mode: whether existing rows are read first."),
  pollIntervalMs: z.int().min(1).default(500).describe("Debezium's poll.interval.ms."),
  maxBatchSize: z.int().min(1).default(2_048).describe('Most changes that one poll hands over.'),
  snapshotChunkRows: z
    .int()
    .min(1)
    .max(100_000)
    .default(2_048)
    .describe('Rows that an incremental snapshot reads at a time.'),
  heartbeatIntervalMs: z
    .int()
    .min(0)
    .default(5_000)
    .describe('How often the slot is moved on while the captured tables are idle, ms; 0 is never.'),
  converterClass: z
    .string()
    .min(1)
    .default('io.reachflow.connect.ConfluentAvroConverter')
    .describe('Converter on the worker that writes Avro in Confluent wire format.'),
  workerDatabaseUrl: z
    .string()
    .optional()
    .meta({ secret: true })
    .describe(
      'The source database as the Connect worker reaches it, where that differs from here.',
    ),
  workerRegistryUrl: z
    .url()
    .optional()
    .describe(
      'The schema registry as the Connect worker reaches it, where that differs from here.',
    ),
  workerBrokers: z
    .array(z.string().min(1))
    .optional()
    .describe(
      'MySQL and MariaDB: the brokers as the Connect worker reaches them, where that differs from here.',
    ),
  settings: z
    .record(
      z.string().refine((key) => !OURS.test(key), 'this one is ours to set'),
      z.string(),
    )
    .default({})
    .meta({ secret: true })
    .describe(
      "More settings of the connector, as Debezium or the converter names them, such as a registry's login; they win over ours.",
    ),
  startTimeoutMs: z
    .int()
    .min(1_000)
    .default(60_000)
    .describe('How long a start waits for the task to run, ms.'),
  maxRestarts: z
    .int()
    .min(0)
    .max(10)
    .default(2)
    .describe('How often a start restarts a failed task before it gives up.'),
  watchIntervalMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(5_000)
    .describe(
      'How often to look whether a task has failed, ms; it is restarted, with back-off while it fails again.',
    ),
  onStop: z
    .enum(['leave', 'stop'])
    .default('leave')
    .describe(
      'What our stop does to the connector in Kafka Connect, which runs on without us: nothing, or stop it.',
    ),
} as const;

const captureSchema = z.strictObject(captureFields);

/** The `debezium` section: change data capture, run by Kafka Connect. */
export const debeziumConfigSchema = z.strictObject({
  ...captureFields,
  sources: z
    .record(z.string().regex(/^[a-z][a-z0-9_]{0,30}$/, 'lower case'), captureSchema)
    .default({})
    .describe(
      'More databases by name, each with the keys of this section; its name is added to those of its connector, slot and publication.',
    ),
});

export type ConnectConfig = z.infer<typeof connectConfigSchema>;
export type CaptureConfig = z.infer<typeof captureSchema>;
export type DebeziumConfig = z.infer<typeof debeziumConfigSchema>;

/** The captures of the section, each with the name of its source; that of the section itself is empty. */
export function capturesOf({ sources, ...main }: DebeziumConfig): NamedCapture[] {
  const more = Object.entries(sources).map(([source, config]) => ({
    source,
    config: {
      ...config,
      connectorName: `${config.connectorName}-${source}`,
      slot: `${config.slot}_${source}`,
      publication: `${config.publication}_${source}`,
    },
  }));
  return [{ source: '', config: main }, ...more];
}

export interface NamedCapture {
  readonly source: string;
  readonly config: CaptureConfig;
}
