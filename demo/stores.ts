import type { StackEndpoints } from '../compose/endpoints.ts';
import { ClickhouseReader } from './readers/clickhouse.ts';
import { ElasticsearchReader } from './readers/elasticsearch.ts';
import { PostgresReader } from './readers/postgres.ts';

/** Rows in each store, by a name for people. */
export type StoreCounts = ReadonlyMap<string, number>;

/** Read access to the three stores. */
export interface Stores {
  readonly postgres: PostgresReader;
  readonly clickhouse: ClickhouseReader;
  readonly elasticsearch: ElasticsearchReader;
  counts(): Promise<StoreCounts>;
  close(): Promise<void>;
}

/** Does not connect yet. */
export function openStores(endpoints: StackEndpoints): Stores {
  const postgres = new PostgresReader(endpoints.postgres.url);
  const clickhouse = new ClickhouseReader(endpoints.clickhouse);
  const elasticsearch = new ElasticsearchReader(endpoints.elasticsearch.url);
  return {
    postgres,
    clickhouse,
    elasticsearch,
    async counts() {
      const [contacts, tables, documents] = await Promise.all([
        postgres.countContacts(),
        clickhouse.counts(),
        elasticsearch.countContacts(),
      ]);
      return new Map([
        ['Postgres contacts', contacts],
        ['ClickHouse contacts', tables.contacts],
        ['Elasticsearch contacts', documents],
        ['ClickHouse events', tables.events],
        ['ClickHouse tenant counts', tables.tenant_counts],
      ]);
    },
    async close() {
      await Promise.all([postgres.close(), clickhouse.close(), elasticsearch.close()]);
    },
  };
}
