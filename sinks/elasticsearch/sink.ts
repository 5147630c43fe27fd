import { Client } from '@elastic/elasticsearch';
import type { Logger } from 'pino';
import type {
  DeliveryMode,
  RecordResult,
  Sink,
  SinkBatch,
  SinkLimits,
  SinkRecord,
} from '../../runtime/delivery/sink.ts';
import { errorMessage, type ReachflowError } from '../../runtime/errors.ts';
import { chunk } from '../chunk.ts';
import { modelsOf, type SinkDeps } from '../deps.ts';
import { writeEncoded } from '../encode.ts';
import type { TableModel } from '../fields.ts';
import { type GroupResult, writeIsolating } from '../isolate.ts';
import { invalidRecord } from '../record.ts';
import {
  classifyItem,
  classifyOpen,
  classifyRequest,
  classifyUnsent,
  tooLarge,
} from './classify.ts';
import type { ElasticsearchConfig } from './config.ts';
import { createEncoder, type Encoder, type Operation } from './encode.ts';
import { DAY_MS, namesOf } from './indices.ts';
import { ensurePolicy, hasLifecycle } from './lifecycle.ts';
import { expireDays, growDays, purgeDeleted } from './maintenance.ts';
import { contentLimit, createIndex, type IndexedTopic, setUpTopic } from './setup.ts';

const MAX_BULK_BYTES = 5 * 1_048_576;

/** Names of indices that are known to be there; more than there are days kept, so that none is asked for twice. */
const MAX_KNOWN_INDICES = 1_000;

const MAINTENANCE_TIMEOUT_MS = 5_000;

/** The parts of a bulk answer that classification reads. */
const FILTER_PATH = [
  'errors',
  'items.*.status',
  'items.*.error.type',
  'items.*.error.reason',
  'items.*.error.caused_by.reason',
];

interface Writer extends IndexedTopic {
  readonly encode: Encoder;
}

/**
 * Documents in indices: `_id` is the row's key. The cluster itself refuses stale versions, and a second document of a
 * record that is written once.
 */
class ElasticsearchSink implements Sink {
  readonly name = 'elasticsearch';
  readonly mode: DeliveryMode = 'idempotent';
  readonly topics: readonly string[];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #config: ElasticsearchConfig;
  readonly #logger: Logger;
  readonly #client: Client;
  readonly #writers = new Map<string, Writer>();
  readonly #known = new Set<string>();
  #contentLimit = MAX_BULK_BYTES;
  #lifecycle = false;
  #timer: NodeJS.Timeout | undefined;
  #maintaining: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(config: ElasticsearchConfig, { logger }: SinkDeps, models: readonly TableModel[]) {
    this.#config = config;
    this.#logger = logger.child({ sink: this.name });
    this.topics = models.map(({ topic }) => topic);
    this.limits = { records: config.batchSize, bytes: MAX_BULK_BYTES, lingerMs: 0 };
    this.writers = config.maxConnections;
    for (const model of models) {
      const names = namesOf(model, config.indexPrefix);
      const { retentionDays } = config;
      const encode = createEncoder(model, { names, retentionDays, now: Date.now });
      this.#writers.set(model.topic, { model, names, encode });
    }
    const { url, username, password, requestTimeoutMs, maxConnections } = config;
    this.#client = new Client({
      node: url,
      ...(username === '' ? {} : { auth: { username, password } }),
      requestTimeout: requestTimeoutMs,
      // The delivery runner retries.
      maxRetries: 0,
      agent: { connections: maxConnections },
    });
  }

  async open(): Promise<void> {
    try {
      this.#contentLimit = await contentLimit(this.#client);
      const { lifecycle } = this.#config;
      this.#lifecycle = lifecycle === 'auto' && (await hasLifecycle(this.#client));
      for (const topic of this.#writers.values()) {
        const byPolicy = this.#lifecycle && topic.model.spec.kind === 'append';
        if (byPolicy) await ensurePolicy(this.#client, topic.names, this.#config);
        await setUpTopic(this.#client, topic, byPolicy);
      }
    } catch (error) {
      throw classifyOpen(error);
    }
    // Processes that start together shall not do it together.
    const interval = this.#config.maintenanceIntervalMs * (0.9 + 0.2 * Math.random());
    this.#timer ??= setInterval(() => this.#maintain(), interval).unref();
  }

  async write({ topic, records }: SinkBatch): Promise<readonly RecordResult[]> {
    const writer = this.#writers.get(topic);
    if (writer === undefined) throw new Error(`the elasticsearch sink does not write ${topic}`);
    return writeEncoded(records, writer.encode, async (operations) => {
      const failed = await this.#ensureIndices(writer, operations);
      if (failed !== undefined) return operations.map(() => failed);
      const most = Math.min(MAX_BULK_BYTES, this.#contentLimit);
      const groups = chunk(operations, this.#config.batchSize, most, ({ bytes }) => bytes);
      return writeIsolating(groups, (group) => this.#bulk(writer, group));
    });
  }

  check(record: SinkRecord): ReachflowError | undefined {
    const writer = this.#writers.get(record.topic);
    if (writer === undefined) {
      return invalidRecord(record, `${this.name} does not write its topic`);
    }
    return writer.encode(record).error;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#maintaining;
    await this.#client.close();
  }

  /** One bulk request: one result per operation, or one for all when the request failed as a whole. */
  async #bulk({ model, names }: Writer, operations: readonly Operation[]): Promise<GroupResult> {
    const bytes = operations.reduce((sum, operation) => sum + operation.bytes, 0);
    // A group larger than that has one operation. The server would cut the connection instead of answering.
    if (bytes > this.#contentLimit) return tooLarge(bytes, this.#contentLimit);
    try {
      const { items } = await this.#client.bulk<string>({
        // Never an index that the server makes up because the alias is gone.
        ...(model.spec.kind === 'upsert' ? { index: names.alias, require_alias: true } : {}),
        refresh: this.#config.refresh,
        filter_path: FILTER_PATH,
        // The client passes strings through as they are, which keeps the versions' digits.
        operations: operations.map((operation) => operation.lines),
      });
      return operations.map((_, i) => classifyItem(Object.values(items[i] ?? {})[0]));
    } catch (error) {
      return classifyRequest(error, bytes);
    }
  }

  /** Makes the indices that operations name; the answer for all of them when that fails. */
  async #ensureIndices(
    writer: Writer,
    operations: readonly Operation[],
  ): Promise<RecordResult | undefined> {
    const wanted = new Set(operations.flatMap(({ index }) => (index === undefined ? [] : [index])));
    try {
      for (const index of wanted) {
        if (this.#known.has(index)) continue;
        await createIndex(this.#client, writer, index);
        if (this.#known.size >= MAX_KNOWN_INDICES) this.#known.clear();
        this.#known.add(index);
      }
      return undefined;
    } catch (error) {
      return classifyUnsent(error);
    }
  }

  #maintain(): void {
    this.#maintaining ??= this.#maintainOnce()
      .catch((error: unknown) => {
        this.#logger.warn(
          { err: errorMessage(error) },
          'upkeep of indices failed; it is tried again',
        );
      })
      .finally(() => {
        this.#maintaining = undefined;
      });
  }

  async #maintainOnce(): Promise<void> {
    const { keepDeletedDays, retentionDays } = this.#config;
    const { signal } = this.#closing;
    // A shutdown waits for one request at most.
    const client = this.#client.child({ requestTimeout: MAINTENANCE_TIMEOUT_MS });
    for (const topic of this.#writers.values()) {
      const { spec } = topic.model;
      const { alias } = topic.names;
      if (spec.deletes) {
        const purged = await purgeDeleted(
          client,
          topic,
          Date.now() - keepDeletedDays * DAY_MS,
          signal,
        );
        if (purged > 0) this.#logger.info({ alias, purged }, 'purged what was deleted long ago');
      }
      if (spec.kind !== 'append' || signal.aborted) continue;
      await growDays(client, topic, this.#lifecycle);
      if (this.#lifecycle || signal.aborted) continue;
      const expired = await expireDays(client, topic, Date.now() - retentionDays * DAY_MS);
      if (expired.length > 0)
        this.#logger.info({ alias, expired }, 'deleted the indices of old days');
    }
  }
}

/**
 * The sink `elasticsearch`. Connects on `open`.
 * @param models the topics that it writes, when not those of the map.
 */
export function createElasticsearchSink(
  config: ElasticsearchConfig,
  deps: SinkDeps,
  models: readonly TableModel[] = modelsOf('elasticsearch', deps),
): Sink {
  return new ElasticsearchSink(config, deps, models);
}
