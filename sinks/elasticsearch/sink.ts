import { Client, errors } from '@elastic/elasticsearch';
import type {
  DeliveryMode,
  RecordResult,
  Sink,
  SinkBatch,
  SinkLimits,
} from '../../runtime/delivery/sink.ts';
import { chunk } from '../chunk.ts';
import type { SinkDeps } from '../deps.ts';
import { writeEncoded } from '../encode.ts';
import { type GroupResult, writeIsolating } from '../isolate.ts';
import { classifyItem, classifyOpen, classifyRequest } from './classify.ts';
import type { ElasticsearchConfig } from './config.ts';
import { encodeContact, type Operation } from './encode.ts';
import { contactsMapping, contactsSettings } from './schema.ts';

const MAX_BULK_BYTES = 5 * 1_048_576;

/** The parts of a bulk answer that classification reads. */
const FILTER_PATH = [
  'errors',
  'items.*.status',
  'items.*.error.type',
  'items.*.error.reason',
  'items.*.error.caused_by.reason',
];

/** Contacts in an index: `_id` is the contact's id, and the cluster itself refuses stale versions. */
class ElasticsearchSink implements Sink {
  readonly name = 'elasticsearch';
  readonly mode: DeliveryMode = 'idempotent';
  readonly topics = ['contact.golden'];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #batchSize: number;
  readonly #client: Client;
  readonly #index: string;
  readonly #refresh: ElasticsearchConfig['refresh'];
  readonly #gcDeletes: string;

  constructor(config: ElasticsearchConfig) {
    this.#batchSize = config.batchSize;
    this.limits = { records: config.batchSize, bytes: MAX_BULK_BYTES, lingerMs: 0 };
    this.writers = config.maxConnections;
    this.#refresh = config.refresh;
    this.#gcDeletes = config.gcDeletes;
    this.#index = `${config.indexPrefix}contacts`;
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
      if (await this.#client.indices.exists({ index: this.#index })) await this.#update();
      else await this.#create();
    } catch (error) {
      throw classifyOpen(error);
    }
  }

  async write({ records }: SinkBatch): Promise<readonly RecordResult[]> {
    return writeEncoded(records, encodeContact, (operations) => {
      const groups = chunk(operations, this.#batchSize, MAX_BULK_BYTES, ({ bytes }) => bytes);
      return writeIsolating(groups, (group) => this.#bulk(group));
    });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** One bulk request: one result per operation, or one for all when the request failed as a whole. */
  async #bulk(operations: readonly Operation[]): Promise<GroupResult> {
    try {
      const { items } = await this.#client.bulk<string>({
        index: this.#index,
        refresh: this.#refresh,
        filter_path: FILTER_PATH,
        // The client passes strings through as they are, which keeps the versions' digits.
        operations: operations.map((operation) => operation.lines),
      });
      return operations.map((_, i) => classifyItem(Object.values(items[i] ?? {})[0]));
    } catch (error) {
      return classifyRequest(error);
    }
  }

  async #create(): Promise<void> {
    try {
      await this.#client.indices.create({
        index: this.#index,
        settings: contactsSettings(this.#gcDeletes),
        mappings: contactsMapping,
      });
    } catch (error) {
      // Another process that started with us was faster.
      if (!isAlreadyThere(error)) throw error;
    }
  }

  /**
   * Brings an existing index to our mapping. The server refuses what an existing field cannot become, or
   * analyzers that the index lacks.
   */
  async #update(): Promise<void> {
    await this.#client.indices.putMapping({ index: this.#index, ...contactsMapping });
    await this.#client.indices.putSettings({
      index: this.#index,
      settings: { index: { gc_deletes: this.#gcDeletes } },
    });
  }
}

function isAlreadyThere(error: unknown): boolean {
  if (!(error instanceof errors.ResponseError)) return false;
  const body: unknown = error.body;
  if (typeof body !== 'object' || body === null || !('error' in body)) return false;
  const { error: cause } = body;
  return (
    typeof cause === 'object' &&
    cause !== null &&
    'type' in cause &&
    cause.type === 'resource_already_exists_exception'
  );
}

/** The sink `elasticsearch`. Connects on `open`. */
export function createElasticsearchSink(config: ElasticsearchConfig, _deps: SinkDeps): Sink {
  return new ElasticsearchSink(config);
}
