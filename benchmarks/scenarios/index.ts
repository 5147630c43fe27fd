import { cdc } from '../cdc/cdc.ts';
import { dashboards } from '../dashboards/dashboards.ts';
import { enrichment } from '../enrichment/enrichment.ts';
import type { Scenario } from '../harness/scenario.ts';
import { contacts } from '../identity/contacts.ts';
import { scoring } from '../scoring/scoring.ts';
import { search } from '../search/search.ts';
import { clickhouseSink } from '../sinks/clickhouse.ts';
import { elasticsearchSink } from '../sinks/elasticsearch.ts';
import { sinkJdbc } from '../sinks/jdbc.ts';
import { sinkPostgres } from '../sinks/postgres.ts';
import { redrive } from '../sinks/redrive.ts';
import { socket, subscriptions } from '../streams/connections.ts';
import { surge, webhooks } from '../webhooks/scenarios.ts';
import { cep } from './cep.ts';
import { freshness } from './freshness.ts';
import { importCsv } from './import.ts';
import { keys } from './keys.ts';
import { latency } from './latency.ts';
import { rebuild } from './rebuild.ts';
import { restore } from './restore.ts';
import { replay, t0, t1 } from './throughput.ts';
import { workers } from './workers.ts';

/** Every scenario there is. */
export const scenarios: readonly Scenario[] = [
  ...[t0, t1, restore, workers, latency, freshness, keys, replay, rebuild, cep],
  ...[importCsv, cdc, contacts, scoring, enrichment],
  ...[sinkPostgres, sinkJdbc, clickhouseSink, elasticsearchSink, redrive],
  ...[webhooks, surge],
  ...[subscriptions, socket],
  dashboards,
  search,
];
