import { describe, expect, it } from 'vitest';
import { capturesOf, type DebeziumConfig, debeziumConfigSchema } from './config.ts';
import { type ConnectorEnvironment, debeziumConnectorConfig } from './connector-config.ts';
import { captureNames } from './names.ts';

const env: ConnectorEnvironment = {
  databaseUrl: 'postgres://app:p%40ss@db.example:6543/shop?sslmode=require',
  registryUrl: 'http://registry.example/apis/ccompat/v7',
  brokers: ['kafka:9092'],
  namespace: '',
  partitions: 0,
  replicationFactor: 3,
};

const config = (fields: Partial<DebeziumConfig> = {}) => debeziumConfigSchema.parse(fields);
const make = (fields: Partial<DebeziumConfig> = {}, changes: Partial<ConnectorEnvironment> = {}) =>
  debeziumConnectorConfig(config(fields), { ...env, ...changes });

describe('debeziumConnectorConfig', () => {
  it('takes more settings, which win, but none that a guarantee stands on', () => {
    const settings = { 'value.converter.basic.auth.user.info': 'u:p', 'poll.interval.ms': '50' };
    expect(make({ settings })).toMatchObject(settings);
    for (const key of ['exactly.once.support', 'topic.prefix', 'tombstones.on.delete'])
      expect(() => config({ settings: { [key]: 'x' } })).toThrow('ours to set');
  });

  it('connects as the URL says, and captures the three tables exactly once', () => {
    expect(make()).toMatchObject({
      'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
      'database.hostname': 'db.example',
      'database.port': '6543',
      'database.user': 'app',
      'database.password': 'p@ss',
      'database.dbname': 'shop',
      'database.sslmode': 'require',
      'signal.data.collection': 'public.reachflow_signal',
      'notification.sink.topic.name': 'cdc.notification',
      'topic.prefix': 'cdc',
      'table.include.list': 'public\\.contacts,public\\.companies,public\\.events',
      'exactly.once.support': 'required',
      'tombstones.on.delete': 'true',
      'snapshot.mode': 'initial',
      'poll.interval.ms': '500',
      'max.batch.size': '2048',
      'value.converter': 'io.reachflow.connect.ConfluentAvroConverter',
      'value.converter.schema.registry.url': env.registryUrl,
    });
  });

  it('creates the topics as the map has them, or with the partitions of a development stack', () => {
    expect(make()).toMatchObject({
      'topic.creation.groups': 'public_contacts,public_companies,public_events,notification',
      'topic.creation.public_contacts.include': 'cdc\\.public\\.contacts',
      'topic.creation.public_contacts.partitions': '50',
      'topic.creation.public_contacts.replication.factor': '3',
      'topic.creation.public_contacts.cleanup.policy': 'compact,delete',
      'topic.creation.public_contacts.retention.ms': '604800000',
    });
    expect(make({}, { partitions: 4 })['topic.creation.public_events.partitions']).toBe('4');
  });

  it('keeps two namespaces apart', () => {
    expect(make({}, { namespace: 'Team-1' })).toMatchObject({
      'topic.prefix': 'Team-1.cdc',
      'slot.name': 'team_1_reachflow_cdc',
      'publication.name': 'team_1_reachflow_cdc',
      'topic.creation.public_contacts.include': 'Team-1\\.cdc\\.public\\.contacts',
    });
    expect(captureNames(config(), 'Team-1').connector).toBe('Team-1-reachflow-cdc');
    expect(() => captureNames(config(), 'x'.repeat(60))).toThrow(/longer than Postgres allows/);
  });

  it('uses the addresses that the worker needs where they differ', () => {
    const workerDatabaseUrl = 'postgres://app:x@postgres/app';
    const made = make({ workerDatabaseUrl, workerRegistryUrl: 'http://registry:8080/v7' });
    expect(made).toMatchObject({
      'database.hostname': 'postgres',
      'database.port': '5432',
      'key.converter.schema.registry.url': 'http://registry:8080/v7',
    });
  });

  it('has no heartbeat when told so', () => {
    expect(make()['heartbeat.interval.ms']).toBe('5000');
    const without = Object.keys(make({ heartbeatIntervalMs: 0 }));
    expect(without.filter((key) => key.startsWith('heartbeat'))).toEqual([]);
  });

  it.each([
    [{ tables: ['public.orders'] }, {}, 'CDC_TABLE_UNKNOWN'],
    [{}, { databaseUrl: 'mysql://h/db' }, 'CDC_URL_INVALID'],
    [{}, { databaseUrl: 'postgres://h' }, 'CDC_URL_INVALID'],
    [{}, { databaseUrl: 'not a url' }, 'CDC_URL_INVALID'],
    [{ database: 'mariadb' }, {}, 'CDC_URL_INVALID'],
    [{ shards: { 'public.orders': 'x' } }, {}, 'CDC_SHARDS_INVALID'],
    [{ shards: { 'public.contacts': '(' } }, {}, 'CDC_SHARDS_INVALID'],
  ] as const)('refuses %j %j: %s', (fields, changes, code) => {
    expect(() => make(fields as Partial<DebeziumConfig>, changes)).toThrow(
      expect.objectContaining({ code }),
    );
  });

  const mariadb = {
    database: 'mariadb' as const,
    databaseUrl: 'mysql://app:p%40ss@db.example/',
    tables: ['public.contacts'],
  };

  it('reads the binlog of MariaDB and MySQL under an id of its own', () => {
    const made = make(mariadb);
    expect(made).toMatchObject({
      'connector.class': 'io.debezium.connector.mariadb.MariaDbConnector',
      'database.hostname': 'db.example',
      'database.port': '3306',
      'database.password': 'p@ss',
      'database.include.list': 'public',
      'table.include.list': 'public\\.contacts,public\\.reachflow_signal',
      'schema.history.internal.kafka.bootstrap.servers': 'kafka:9092',
      'schema.history.internal.kafka.topic': 'cdc.schema-history',
      'time.precision.mode': make()['time.precision.mode'],
    });
    expect(Number(made['database.server.id'])).toBeGreaterThan(1_000_000_000);
    const other = make({ ...mariadb, connectorName: 'other' });
    expect(other['database.server.id']).not.toBe(made['database.server.id']);
    expect(make({ ...mariadb, database: 'mysql', serverId: 7 })).toMatchObject({
      'connector.class': 'io.debezium.connector.mysql.MySqlConnector',
      'database.server.id': '7',
    });
  });

  it('brings shards into the topic of their table, and a further source, too', () => {
    const shards = { 'public.contacts': 'shop_[0-9]\\.contacts' };
    expect(make({ ...mariadb, shards, signalTable: 'shop_0.signals' })).toMatchObject({
      'database.include.list': 'shop_[0-9]',
      'table.include.list': 'shop_[0-9]\\.contacts,shop_0\\.signals',
      transforms: 'shards0,signals',
      'transforms.shards0.type': 'io.debezium.transforms.ByLogicalTableRouter',
      'transforms.shards0.topic.regex': 'cdc\\.(?:shop_[0-9]\\.contacts)',
      'transforms.shards0.topic.replacement': 'cdc.public.contacts',
      'transforms.shards0.key.enforce.uniqueness': 'false',
    });
    const [, shop] = capturesOf(debeziumConfigSchema.parse({ sources: { shop: mariadb } }));
    if (shop === undefined) throw new Error('there is no second capture');
    expect(captureNames(shop.config, '', shop.source).connector).toBe('reachflow-cdc-shop');
    const made = debeziumConnectorConfig(shop.config, { ...env, namespace: 'n' }, shop.source);
    expect(made).toMatchObject({
      'topic.prefix': 'n.cdc.shop',
      'transforms.tables.regex': 'n\\.cdc\\.shop\\.(public\\.contacts)',
      'transforms.tables.replacement': 'n.cdc.$1',
      'topic.creation.public_contacts.include': 'n\\.cdc\\.public\\.contacts',
    });
  });

  it('says nothing of the password in what it throws', () => {
    try {
      make({}, { databaseUrl: 'postgres://app:geheim@h' });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toContain('geheim');
    }
  });
});
