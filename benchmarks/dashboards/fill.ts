import type { ClickHouseClient } from '@clickhouse/client';
import { API_CALL } from '../../pipelines/metrics/steps/latency.ts';
import { GAMMA } from '../../pipelines/metrics/steps/sketch.ts';

/** Ends at a whole hour, so that every window is whole. */
export const END_SECONDS = Date.UTC(2026, 0, 2) / 1_000;
const DAY_SECONDS = 86_400;
const TENANTS = 100;
/** Rows of an insert: the embedded server has 1 GB. */
const CHUNK = 500_000;

/** A time of the day, ms since 1970, of event `number`: spread by a hash. */
const AT = `(${END_SECONDS - DAY_SECONDS} * 1000 + toInt64(cityHash64(number, 1) % (${DAY_SECONDS} * 1000)))`;
/** A few tenants have most: the square of an even spread. */
const tenant = (salt: number) =>
  `concat('tenant-', toString(intDiv(pow(cityHash64(number, ${salt}) % 1000, 2), ${1_000_000 / TENANTS})))`;
/** ms, skewed as durations are. */
const DURATION = 'round(exp(3 + (cityHash64(number, 5) % 1000) / 250), 1)';

function eventsSql(from: number, events: number): string {
  const type = `['push', 'login', 'email.opened', 'email.clicked', 'import.row', 'note', 'deal', '${API_CALL}'][1 + cityHash64(number, 3) % 8]`;
  return `INSERT INTO events SELECT concat('bench:', toString(number)), ${tenant(2)}, 
  ['webhook:crm', 'webhook:github', 'webhook:stripe', 'cdc:events'][1 + cityHash64(number, 4) % 4], ${type} AS type,
  concat('entity-', toString(number % 100000)), fromUnixTimestamp64Milli(${AT} AS at, 'UTC'),
  fromUnixTimestamp64Milli(toInt64(at + 20 + cityHash64(number, 6) % 2000), 'UTC'),
  if(type = '${API_CALL}', concat('{"duration_ms":', toString(${DURATION}), ',"route":"/v1/contacts"}'),
    concat('{"ref":"', hex(cityHash64(number, 7)), '","actor":"zoe@example.com","n":', toString(number), '}')),
  number % 4, intDiv(number, 4)
FROM numbers(${from}, ${events})`;
}

/** What the pipelines would have made of the events, and as many rows of the other tables as a day has. */
const REST: readonly string[] = [
  `INSERT INTO tenant_counts SELECT tenant_id, toStartOfMinute(occurred_at) AS minute, minute + 60, count(), count(), 0, 0
FROM events GROUP BY tenant_id, minute`,
  `INSERT INTO api_latency SELECT tenant_id, minute, minute + 60, calls, 0, 0, 0, 0, sketch.1, sketch.2, calls, 0, 0
FROM (
  SELECT tenant_id, toStartOfMinute(occurred_at) AS minute, toInt64(count()) AS calls,
    sumMap([toInt32(ceil(log(JSONExtractFloat(payload, 'duration_ms')) / log(${GAMMA})))], [toInt64(1)]) AS sketch
  FROM events WHERE event_type = '${API_CALL}' GROUP BY tenant_id, minute)`,
  `INSERT INTO contact_velocity SELECT tenant_id, window_start, window_end, intDiv(count, 10), intDiv(count, 3), intDiv(count, 50),
  intDiv(count, 10) + intDiv(count, 3), version, 0, 0 FROM tenant_counts`,
  `INSERT INTO error_rate SELECT tenant_id, toStartOfFiveMinutes(window_start) AS w, w + 300, sum(count) AS total,
  intDiv(total, 50), 0.02, total, 0, 0 FROM tenant_counts GROUP BY tenant_id, w`,
  `INSERT INTO enrichment_rate SELECT tenant_id, toStartOfHour(window_start) AS w, w + 3600, sum(count) AS total, intDiv(total, 2),
  intDiv(total, 3), total - intDiv(total, 2) - intDiv(total, 3), intDiv(total, 4), 0.5, total, 0, 0
FROM tenant_counts GROUP BY tenant_id, w`,
  `INSERT INTO alerts SELECT concat('a', toString(number)), ['suspicious_activity', 'data_quality_issue'][1 + number % 2], 'warning',
  ${tenant(8)} AS t, t, fromUnixTimestamp64Milli(${AT} AS at, 'UTC'), fromUnixTimestamp64Milli(at, 'UTC'), 100, 'Too many.', 0, number
FROM numbers(10000)`,
];

function contactsSql(contacts: number): string {
  const time = `fromUnixTimestamp64Milli(${AT}, 'UTC')`;
  return `INSERT INTO contacts SELECT toString(number), ${tenant(9)}, concat('Person ', toString(number)),
  concat('p', toString(number), '@example.com'), if(number % 3 = 0, NULL, '+4930123456'), NULL,
  if(number % 4 = 0, NULL, 'Acme'), NULL, if(number % 5 = 0, NULL, 'Software'), [], if(number % 2 = 0, NULL, (number % 1000) / 1000),
  ${time}, ${time}, 1, 0, number % 4, number FROM numbers(${contacts})`;
}

/** Fills the sink's tables with a day of so many events, and a tenth as many contacts, in the server. */
export async function fill(client: ClickHouseClient, events: number): Promise<void> {
  const inserts = [...REST, contactsSql(Math.ceil(events / 10))];
  for (let from = 0; from < events; from += CHUNK) {
    await client.command({ query: eventsSql(from, Math.min(CHUNK, events - from)) });
  }
  for (const query of inserts) await client.command({ query });
}
