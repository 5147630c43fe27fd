import {
  type ClickHouseClient,
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
} from '@clickhouse/client';
import PQueue from 'p-queue';
import { errorMessage } from '../../runtime/errors.ts';
import { ProblemError } from '../../runtime/http/problem.ts';
import type { ClickhouseConfig } from '../../sinks/clickhouse/config.ts';
import type { ConsoleConfig } from '../config.ts';

/** Rows as ClickHouse names and orders their columns. */
export interface Rows {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Codes of ClickHouse's errors: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp. */
const CODE = {
  unknownTable: '60',
  unknownDatabase: '81',
  timeout: '159',
  tooManyRows: '396',
  memory: '241',
} as const;

const MAX_RESULT_BYTES = 4_194_304;
const MAX_MEMORY_BYTES = 1_073_741_824;
const MAX_THREADS = 2;
/** What a query may take longer than the server is allowed, ms: its answer has to come, too. */
const ANSWER_MS = 2_000;
/** Queries that wait for their turn. */
const MAX_WAITING = 2_000;

/** Read-only access to ClickHouse, so many queries at one time, each limited in time, memory and result. */
export class Warehouse {
  readonly #client: ClickHouseClient;
  readonly #turns: PQueue;

  constructor(
    { url, username, password, database }: ClickhouseConfig,
    config: Pick<ConsoleConfig, 'maxQueries' | 'queryTimeoutMs' | 'maxRows'>,
  ) {
    this.#turns = new PQueue({ concurrency: config.maxQueries });
    this.#client = createClient({
      ...{ url, username, password, database },
      application: 'reachflow-console',
      max_open_connections: config.maxQueries,
      request_timeout: config.queryTimeoutMs + ANSWER_MS,
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        readonly: '2',
        max_execution_time: Math.max(1, Math.ceil(config.queryTimeoutMs / 1_000)),
        max_result_rows: String(config.maxRows),
        max_result_bytes: String(MAX_RESULT_BYTES),
        result_overflow_mode: 'throw',
        max_memory_usage: String(MAX_MEMORY_BYTES),
        max_threads: MAX_THREADS,
        date_time_output_format: 'iso',
        output_format_json_quote_64bit_integers: 0,
        wait_end_of_query: 1,
      },
    });
  }

  /**
   * Asks, once it is its turn.
   * @throws ProblemError: `CHART_EMPTY` (404) where a table is not there yet, `CHART_TOO_LARGE`, `CLICKHOUSE_UNAVAILABLE`,
   *   `CHART_FAILED`; `CONSOLE_BUSY` where too many wait.
   */
  async query(sql: string, parameters: Readonly<Record<string, unknown>>): Promise<Rows> {
    if (this.#turns.size > MAX_WAITING) throw busy();
    return this.#turns.add(() => this.#ask(sql, parameters));
  }

  async #ask(query: string, query_params: Readonly<Record<string, unknown>>): Promise<Rows> {
    try {
      const result = await this.#client.query({ query, query_params, format: 'JSONCompact' });
      const { meta = [], data } = await result.json<readonly unknown[]>();
      return { columns: meta, rows: data };
    } catch (error) {
      throw problemOfQuery(error);
    }
  }

  async close(): Promise<void> {
    this.#turns.clear();
    await this.#turns.onIdle();
    await this.#client.close();
  }
}

function busy(): ProblemError {
  return new ProblemError('too many queries wait for ClickHouse', {
    status: 503,
    code: 'CONSOLE_BUSY',
    hint: 'Close some pages, or raise console.maxQueries.',
    retryAfterSeconds: 5,
  });
}

function problemOfQuery(error: unknown): ProblemError {
  const code = error instanceof ClickHouseError ? error.code : undefined;
  if (code === CODE.unknownTable || code === CODE.unknownDatabase) {
    return new ProblemError('ClickHouse has no table for it yet', {
      status: 404,
      code: 'CHART_EMPTY',
      hint: 'The ClickHouse sink makes it at its first start: `reachflow run`.',
      cause: error,
    });
  }
  if (code === CODE.timeout || code === CODE.tooManyRows || code === CODE.memory) {
    return new ProblemError('the answer would take too long, or be too large', {
      status: 422,
      code: 'CHART_TOO_LARGE',
      hint: 'Choose a shorter range or one tenant, or raise console.queryTimeoutMs and console.maxRows.',
      cause: error,
    });
  }
  if (code === undefined) {
    return new ProblemError(`ClickHouse does not answer: ${errorMessage(error)}`, {
      status: 503,
      code: 'CLICKHOUSE_UNAVAILABLE',
      hint: 'It is asked again. `reachflow stack status` shows an embedded one; else see clickhouse.url.',
      retryAfterSeconds: 2,
      cause: error,
    });
  }
  return new ProblemError(`ClickHouse refuses the query (code ${code})`, {
    status: 502,
    code: 'CHART_FAILED',
    hint: 'Its tables may be of another version: run `reachflow run` of this one.',
    cause: error,
  });
}
