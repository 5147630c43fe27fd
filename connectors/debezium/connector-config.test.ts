import { describe, expect, it } from 'vitest';
import { type DebeziumConfig, debeziumConfigSchema } from './config.ts';
import {
  type ConnectorEnvironment,
  captureNames,
  debeziumConnectorConfig,
} from './connector-config.ts';

const env: ConnectorEnvironment = {
  databaseUrl: 'postgres://app:p%40ss@db.example:6543/shop?sslmode=require',
  registryUrl: 'http://registry.example/apis/ccompat/v7',
  namespace: '',
  partitions: 0,
  replicationFactor: 3,
};

const config = (fields: Partial<DebeziumConfig> = {}) => debeziumConfigSchema.parse(fields);
const make = (fields: Partial<DebeziumConfig> = {}, changes: Partial<ConnectorEnvironment> = {}) =>
  debeziumConnectorConfig(config(fields), { ...env, ...changes });

describe('debeziumConnectorConfig', () => {
  it('connects as the URL says, and captures the three tables exactly once', () => {
    expect(make()).toMatchObject({
      'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
      'database.hostname': 'db.example',
      'database.port': '6543',
      'database.user': 'app',
      'database.password': 'p@ss',
      'database.dbname': 'shop',
      'database.sslmode': 'require',
      'topic.prefix': 'cdc',
      'table.include.list': 'public.contacts,public.companies,public.events',
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
      'topic.creation.groups': 'public_contacts,public_companies,public_events',
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
  ])('refuses %j %j: %s', (fields, changes, code) => {
    expect(() => make(fields, changes)).toThrow(expect.objectContaining({ code }));
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
