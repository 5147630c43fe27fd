import {
  type ClickHouseClient,
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
} from '@clickhouse/client';
import { z } from 'zod';
import type { StackEndpoints } from '../../compose/endpoints.ts';
import type { StoredContact, StoredEvent } from '../verify/facts.ts';
import { toStoredContact } from './contact-row.ts';

const eventRow = z.object({
  event_id: z.string(),
  tenant_id: z.string(),
  source: z.string(),
  event_type: z.string(),
  occurred_at: z.coerce.number(),
  digest: z.string(),
});

const countRow = z.object({
  tenant_id: z.string(),
  window_start: z.coerce.number(),
  count: z.coerce.number(),
});

/** Rows of the sink's tables. */
export interface ClickhouseCounts {
  readonly events: number;
  readonly contacts: number;
  readonly tenant_counts: number;
}

/** Server codes of "does not exist": the sink has not made it yet. */
const UNKNOWN_TABLE = '60';
const UNKNOWN_DATABASE = '81';

/** The sink's tables, read with FINAL. */
export class ClickhouseReader {
  readonly #client: ClickHouseClient;
  /** Quoted. */
  readonly #database: string;

  constructor({ url, username, password, database }: StackEndpoints['clickhouse']) {
    this.#client = createClient({
      url,
      username,
      password,
      application: 'reachflow-demo',
      max_open_connections: 2,
      request_timeout: 60_000,
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        // Times in ISO 8601, and 64-bit numbers as text: exact for every client.
        date_time_output_format: 'iso',
        output_format_json_quote_64bit_integers: 1,
      },
    });
    this.#database = `\`${database}\``;
  }

  /** Zeros before the sink made the tables. */
  async counts(): Promise<ClickhouseCounts> {
    const count = async (table: string): Promise<number> => {
      const rows = await this.#rows(`SELECT count() AS n FROM ${this.#database}.${table} FINAL`);
      return Number((rows[0] as { n?: string } | undefined)?.n ?? 0);
    };
    try {
      const [events, contacts, tenant_counts] = await Promise.all([
        count('events'),
        count('contacts'),
        count('tenant_counts'),
      ]);
      return { events, contacts, tenant_counts };
    } catch (error) {
      const isNew =
        error instanceof ClickHouseError && [UNKNOWN_TABLE, UNKNOWN_DATABASE].includes(error.code);
      if (isNew) return { events: 0, contacts: 0, tenant_counts: 0 };
      throw error;
    }
  }

  /** Is an event there? Cheap enough to ask a few times per second. */
  async hasEvent(eventId: string): Promise<boolean> {
    const query = `SELECT 1 AS found FROM ${this.#database}.events WHERE event_id = {id: String} LIMIT 1`;
    return (await this.#rows(query, { id: eventId })).length > 0;
  }

  /** Streams the table: of payloads only the digest travels. */
  async events(): Promise<Map<string, StoredEvent>> {
    const found = new Map<string, StoredEvent>();
    const result = await this.#client.query({
      query: `SELECT event_id, tenant_id, source, event_type, toUnixTimestamp64Milli(occurred_at) AS occurred_at,
                     lower(hex(MD5(payload))) AS digest FROM ${this.#database}.events FINAL`,
      format: 'JSONEachRow',
    });
    for await (const rows of result.stream()) {
      for (const row of rows) {
        const event = eventRow.parse(row.json());
        found.set(event.event_id, {
          tenantId: event.tenant_id,
          source: event.source,
          eventType: event.event_type,
          occurredAt: event.occurred_at,
          payloadDigest: event.digest,
          copies: (found.get(event.event_id)?.copies ?? 0) + 1,
        });
      }
    }
    return found;
  }

  /** `<tenant>@<start of the window, ms>` → count. */
  async tenantCounts(): Promise<Map<string, number>> {
    const rows = await this.#rows(
      `SELECT tenant_id, toUnixTimestamp64Milli(window_start) AS window_start, count
       FROM ${this.#database}.tenant_counts FINAL`,
    );
    return new Map(
      rows.map((row) => {
        const { tenant_id, window_start, count } = countRow.parse(row);
        return [`${tenant_id}@${window_start}`, count];
      }),
    );
  }

  async contacts(): Promise<Map<string, StoredContact>> {
    const rows = await this.#rows(
      `SELECT * FROM ${this.#database}.contacts FINAL WHERE is_deleted = 0`,
    );
    return new Map(rows.map(toStoredContact));
  }

  async #rows(query: string, params: Record<string, unknown> = {}): Promise<unknown[]> {
    const result = await this.#client.query({ query, query_params: params, format: 'JSONEachRow' });
    return result.json();
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
