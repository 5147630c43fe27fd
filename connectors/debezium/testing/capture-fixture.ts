import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { followTopic } from '../../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../../runtime/kafka/record.ts';
import { readEnvelope } from '../../../schemas/envelope.ts';
import type { TopicName } from '../../../schemas/topics.ts';
import { testStack } from '../../../tests/integration/stack.ts';
import { kafkaFixture, testLogger } from '../../../tests/support/kafka.ts';
import { connectConfigSchema, type DebeziumConfig, debeziumConfigSchema } from '../config.ts';
import type { ConnectorEnvironment } from '../connector-config.ts';
import { createDebeziumConnector, type DebeziumConnector } from '../debezium-connector.ts';

type EnvelopeOf = Parameters<typeof readEnvelope<Record<string, unknown>>>[0];

/** A database of one test with the product's tables, and captures of it; all of it removed at the end. */
export class CaptureFixture {
  readonly stack = testStack();
  readonly kafka = kafkaFixture();
  readonly connect = connectConfigSchema.parse({ url: this.stack.connect.url });
  readonly database = `cdc_${randomBytes(4).toString('hex')}`;
  readonly databaseUrl = Object.assign(new URL(this.stack.postgres.url), {
    pathname: `/${this.database}`,
  }).href;
  readonly source = new pg.Client({ connectionString: this.databaseUrl });
  readonly #captures: DebeziumConnector[] = [];
  readonly #followers: { stop(): Promise<void> }[] = [];

  /** @param tables whether with the product's own tables. */
  async open({ tables = true } = {}): Promise<void> {
    await this.onAdminDatabase(`CREATE DATABASE ${this.database}`);
    await this.source.connect();
    if (!tables) return;
    const sql = new URL('../../../compose/sql/source.sql', import.meta.url);
    await this.source.query(await readFile(sql, 'utf8'));
  }

  async close(): Promise<void> {
    for (const follower of this.#followers) await follower.stop();
    for (const capture of this.#captures) await capture.remove();
    await this.source.end();
    await this.onAdminDatabase(`DROP DATABASE ${this.database} WITH (FORCE)`);
  }

  environment(namespace = this.kafka.client.config.namespace): ConnectorEnvironment {
    return {
      databaseUrl: this.databaseUrl,
      registryUrl: this.stack.registry.url,
      brokers: this.stack.kafka.brokers,
      namespace,
      partitions: 2,
      replicationFactor: 1,
    };
  }

  configOf(fields: Partial<DebeziumConfig> = {}): DebeziumConfig {
    // A stack of one's own (REACHFLOW_TEST_STACK) may have the converter under another name.
    const converterClass = process.env['REACHFLOW_DEBEZIUM_CONVERTER_CLASS'];
    return debeziumConfigSchema.parse({
      pollIntervalMs: 50,
      heartbeatIntervalMs: 500,
      ...(converterClass === undefined ? {} : { converterClass }),
      ...fields,
    });
  }

  /** A capture of this database. Each namespace is a capture of its own. */
  make(fields: Partial<DebeziumConfig> = {}, namespace?: string): DebeziumConnector {
    const deps = {
      ...this.environment(namespace),
      connect: this.connect,
      logger: testLogger,
    };
    const connector = createDebeziumConnector(this.configOf(fields), deps);
    this.#captures.push(connector);
    return connector;
  }

  /** Reads a topic of the fixture's namespace from now on. It must be there. */
  async follow(topic: TopicName): Promise<TopicRecords> {
    const records: KafkaRecord[] = [];
    const onRecord = (record: KafkaRecord) => void records.push(record);
    this.#followers.push(await followTopic(this.kafka.client, { topic, onRecord }));
    return new TopicRecords(topic, records, this.kafka.codec);
  }

  async onAdminDatabase(sql: string): Promise<void> {
    const admin = new pg.Client({ connectionString: this.stack.postgres.url });
    await admin.connect();
    try {
      await admin.query(sql);
    } finally {
      await admin.end();
    }
  }

  async slotPosition(slot: string): Promise<string | undefined> {
    const { rows } = await this.source.query<{ at: string }>(
      'SELECT confirmed_flush_lsn::text AS at FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    return rows[0]?.at;
  }
}

/** What a topic of change data holds so far. */
export class TopicRecords {
  readonly topic: TopicName;
  readonly records: readonly KafkaRecord[];
  readonly #codec: CaptureFixture['kafka']['codec'];

  constructor(
    topic: TopicName,
    records: readonly KafkaRecord[],
    codec: CaptureFixture['kafka']['codec'],
  ) {
    this.topic = topic;
    this.records = records;
    this.#codec = codec;
  }

  /** Changes in order, each with its record's key; a tombstone has none. @throws what an envelope is refused for. */
  async changes() {
    const all = [...this.records];
    const keys = all.map(({ key }) => key);
    const values = all.map(({ value }) => value);
    await this.#codec.load(this.topic, values, keys);
    return all.map(({ key, value }) => {
      const envelope = value === null ? null : this.#codec.decode(this.topic, value);
      const change = readEnvelope(envelope as EnvelopeOf);
      if (change?.kind === 'refused') throw change.error;
      return { key: this.#codec.decodeKey(this.topic, key), change };
    });
  }

  /** The changes of one key, oldest first; a tombstone is undefined. */
  async of(key: number | string) {
    const all = await this.changes();
    return all.filter((one) => one.key === String(key)).map(({ change }) => change);
  }
}
