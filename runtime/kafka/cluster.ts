import { setTimeout as delay } from 'node:timers/promises';
import { checkBrokerSupport, warnOfLostMarkers } from './broker-support.ts';
import { BufferPool } from './buffer-pool.ts';
import type { KafkaClient } from './client.ts';
import {
  type Broker,
  type BrokerPool,
  type Connection,
  createBrokerPool,
  protocolError,
} from './kafkajs-internals.ts';
import { type ClusterMetadata, metadataRequest, parseMetadata } from './metadata.ts';
import {
  CODE,
  isConnectionError,
  isTransient,
  isUnreachable,
  protocolCode,
} from './protocol-errors.ts';
import { exchange, FETCH, type WireRequest } from './wire.ts';

/** What a coordinator is asked for: of a consumer group or of a transactional id. */
export type CoordinatorType = 'group' | 'transaction';

interface RetryOptions {
  /** How long to go on trying, ms. */
  readonly timeoutMs: number;
  /** First pause, doubled each time up to `maxPauseMs`; ms. */
  readonly pauseMs?: number;
  readonly maxPauseMs?: number;
  /** Once it is aborted, nothing is tried again. */
  readonly signal?: AbortSignal | undefined;
  /** True for a request that must not be sent again once the broker may have it (`mayHaveArrived`). */
  readonly once?: boolean;
}

/**
 * Batches of the producers that share these connections share what lies unused, too. Enough for two epochs of an import, one
 * that is sent and one that is filled: with less, each allocates what the one before has let go, and the garbage
 * collector, which such memory sets off, takes a tenth of the import.
 */
const POOL_BYTES = 24 * 1_048_576;
const UNKNOWN_TOPIC_MS = 5_000;
/** Least pause after a broker could not be reached, ms. */
const RECONNECT_MS = 100;
const COORDINATOR_TYPES = { group: 0, transaction: 1 } as const;

/**
 * Connections to the brokers of one cluster, shared by everything that does not need its own: two sockets a broker,
 * however many tasks there are. Knows the leaders of partitions and the coordinators, and forgets what turned out
 * to be wrong. Names are those of the brokers here.
 */
export class KafkaCluster {
  readonly buffers = new BufferPool(POOL_BYTES);
  readonly #client: KafkaClient;
  /** Makes connections; has none itself. */
  readonly #pool: BrokerPool;
  readonly #addresses = new Map<number, { readonly host: string; readonly port: number }>();
  readonly #brokers = new Map<number, Promise<Broker>>();
  readonly #opened = new WeakSet<Connection>();
  readonly #connecting = new WeakMap<Connection, Promise<unknown>>();
  /** What requests failed with that had a connection, and lost it before they were answered. */
  readonly #unanswered = new WeakSet<object>();
  /** Leader of each partition by topic; -1 where there is none. */
  readonly #leaders = new Map<string, readonly number[]>();
  readonly #coordinators = new Map<string, number>();
  #controller = -1;
  /** Topics that the next metadata request asks for. */
  readonly #wanted = new Set<string>();
  #asking: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor(client: KafkaClient) {
    this.#client = client;
    this.#pool = createBrokerPool(client.kafka);
  }

  /** Partitions of a topic. @throws what `retrying` throws, `UNKNOWN_TOPIC_OR_PARTITION` among it. */
  async partitionCount(topic: string): Promise<number> {
    return (await this.#leadersOf(topic)).length;
  }

  /** The same without asking; undefined where it is not known. */
  knownPartitions(topic: string): number | undefined {
    return this.#leaders.get(topic)?.length;
  }

  /** Loads leaders of topics that are not known yet, in one request. */
  async loadTopics(topics: readonly string[]): Promise<void> {
    const missing = topics.filter((topic) => !this.#leaders.has(topic));
    if (missing.length > 0) await this.#refresh(missing);
  }

  /** Node id of a partition's leader. @throws protocol errors where there is none or the topic is not there. */
  async leader(topic: string, partition: number): Promise<number> {
    const leader = (await this.#leadersOf(topic))[partition];
    if (leader === undefined) {
      this.#leaders.delete(topic);
      throw protocolError(CODE.unknownTopicOrPartition);
    }
    if (leader < 0) {
      this.#leaders.delete(topic);
      throw protocolError(CODE.leaderNotAvailable);
    }
    return leader;
  }

  /** Makes the next look-up ask the brokers: a leader was not where we thought. */
  forgetLeaders(topic: string): void {
    this.#leaders.delete(topic);
  }

  async #leadersOf(topic: string): Promise<readonly number[]> {
    const known = this.#leaders.get(topic);
    if (known !== undefined) return known;
    await this.#refresh([topic]);
    const leaders = this.#leaders.get(topic);
    if (leaders === undefined) throw protocolError(CODE.unknownTopicOrPartition);
    return leaders;
  }

  /** One request at a time, and one that waits: it asks for all that was wanted meanwhile. */
  #refresh(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#wanted.add(topic);
    this.#waiting ??= this.#asking.then(() => {
      this.#waiting = undefined;
      const wanted = [...this.#wanted];
      this.#wanted.clear();
      const request = this.#requestMetadata(wanted);
      this.#asking = request.catch(() => undefined);
      return request;
    });
    return this.#waiting;
  }

  async #requestMetadata(topics: readonly string[]): Promise<void> {
    const wanted = topics.filter((topic) => !this.#leaders.has(topic));
    if (wanted.length === 0 && this.#addresses.size > 0) return;
    this.#learn(parseMetadata(await this.#askAny(metadataRequest(wanted))));
  }

  #learn({ brokers, controller, topics }: ClusterMetadata): void {
    for (const { id, host, port } of brokers) this.#setAddress(id, host, port);
    this.#controller = controller;
    for (const { topic, code, leaders } of topics)
      if (code === 0) this.#leaders.set(topic, leaders);
  }

  #setAddress(id: number, host: string, port: number): void {
    const known = this.#addresses.get(id);
    if (known?.host === host && known.port === port) return;
    this.#addresses.set(id, { host, port });
    this.#drop(id);
  }

  /** Any broker that answers: a known one, or else one of the bootstrap brokers. */
  async #askAny(request: WireRequest): Promise<Buffer> {
    for (const id of [...this.#addresses.keys()]) {
      try {
        return await this.request(id, request);
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
    }
    // Fresh connection objects each time: KafkaJS's are of no use after they were closed (see `#use`).
    const bootstrap = createBrokerPool(this.#client.kafka);
    try {
      await bootstrap.connect();
      const seed = bootstrap.seedBroker;
      if (seed === undefined) throw protocolError(CODE.brokerNotAvailable);
      checkBrokerSupport(seed.versions, this.#client.config.brokers.join(', '));
      const connection = seed.connectionPool.pool[0];
      return await exchange(connection, this.#client.config.clientId, request);
    } finally {
      // Brokers are connected to by their own addresses from here on.
      await bootstrap.disconnect().catch(() => undefined);
    }
  }

  /** Node ids of all brokers, as last heard; asks for them where none is known. */
  async brokers(): Promise<readonly number[]> {
    if (this.#addresses.size === 0) await this.#refresh([]);
    return [...this.#addresses.keys()];
  }

  /** Node id of some broker: any can tell what is the same everywhere. @throws a protocol error when none is known. */
  async anyBroker(): Promise<number> {
    const ids = await this.brokers();
    const any = ids[Math.floor(Math.random() * ids.length)];
    if (any === undefined) throw protocolError(CODE.brokerNotAvailable);
    return any;
  }

  /** Sends to the broker that creates topics, and asks who that is when it was not. @throws as `call`. */
  async callController<T>(send: (broker: Broker) => Promise<T>): Promise<T> {
    const known = this.#controller;
    const controller = this.#addresses.has(known) ? known : await this.#findController();
    try {
      return await this.call(controller, send);
    } catch (error) {
      this.#controller = -1;
      throw error;
    }
  }

  async #findController(): Promise<number> {
    this.#learn(await this.metadata(await this.anyBroker(), []));
    return this.#controller;
  }

  /** What one broker knows now of topics, or of all of them. @throws as `call`. */
  async metadata(nodeId: number, topics: readonly string[] | 'all'): Promise<ClusterMetadata> {
    return parseMetadata(await this.request(nodeId, metadataRequest(topics)));
  }

  /** Node id of the coordinator of a group or transactional id. */
  async coordinator(type: CoordinatorType, key: string): Promise<number> {
    const known = this.#coordinators.get(`${type}/${key}`);
    if (known !== undefined) return known;
    const any = await this.anyBroker();
    const request = { groupId: key, coordinatorType: COORDINATOR_TYPES[type] };
    const { coordinator } = await this.call(any, (broker) => broker.findGroupCoordinator(request));
    this.#setAddress(coordinator.nodeId, coordinator.host, coordinator.port);
    this.#coordinators.set(`${type}/${key}`, coordinator.nodeId);
    return coordinator.nodeId;
  }

  /** Sends a request by one of KafkaJS's methods. @throws its errors; a connection that failed is not used again. */
  async call<T>(nodeId: number, send: (broker: Broker) => Promise<T>): Promise<T> {
    return this.#use(nodeId, 0, (broker) => send(broker));
  }

  /** Sends a request of ours. @throws as `call`. */
  async request(nodeId: number, request: WireRequest): Promise<Buffer> {
    const { clientId } = this.#client.config;
    return this.#use(nodeId, request.api === FETCH ? 1 : 0, (_broker, connection) =>
      exchange(connection, clientId, request),
    );
  }

  /** Sends to the coordinator of `key`, and forgets who that is when it answers that it is not. */
  async callCoordinator<T>(
    type: CoordinatorType,
    key: string,
    send: (broker: Broker) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.call(await this.coordinator(type, key), send);
    } catch (error) {
      const code = protocolCode(error);
      if (
        isUnreachable(error) ||
        code === CODE.notCoordinator ||
        code === CODE.coordinatorNotAvailable
      )
        this.#coordinators.delete(`${type}/${key}`);
      throw error;
    }
  }

  /** Repeats `work` while it fails with what may pass, for at most `timeoutMs`. @throws the last error. */
  async retrying<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
    const { timeoutMs, pauseMs = 10, maxPauseMs = 500 } = options;
    const end = performance.now() + timeoutMs;
    const unknownEnd = end - timeoutMs + Math.min(timeoutMs, UNKNOWN_TOPIC_MS);
    for (let pause = pauseMs; ; pause = Math.min(pause * 2, maxPauseMs)) {
      try {
        return await work();
      } catch (error) {
        // A topic that was just made is not known everywhere; one that does not exist never will be.
        const until = protocolCode(error) === CODE.unknownTopicOrPartition ? unknownEnd : end;
        const isOver = this.#closed || options.signal?.aborted === true;
        if (!isTransient(error) || isOver || performance.now() + pause > until) throw error;
        if (options.once === true && this.mayHaveArrived(error)) throw error;
        if (isUnreachable(error)) pause = Math.max(pause, RECONNECT_MS);
      }
      await delay(pause);
    }
  }

  /** True when a request failed unanswered: the broker may have it, and may still come to carry it out. */
  mayHaveArrived(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.#unanswered.has(error);
  }

  async #use<T>(
    nodeId: number,
    index: 0 | 1,
    send: (broker: Broker, connection: Connection) => Promise<T>,
  ): Promise<T> {
    let broker = await this.#broker(nodeId);
    let connection = broker.connectionPool.pool[index];
    if (!connection.isConnected() && this.#opened.has(connection)) {
      // An object that lost its connection is of no use: half a response may be left in it, which KafkaJS would take for
      // the start of the next one, and the late end of the old socket would end the new one.
      await this.#dropIf(nodeId, broker);
      broker = await this.#broker(nodeId);
      connection = broker.connectionPool.pool[index];
    }
    try {
      await this.#connect(connection);
      return await this.#sent(send(broker, connection));
    } catch (error) {
      if (isConnectionError(error)) await this.#dropIf(nodeId, broker);
      throw error;
    }
  }

  async #sent<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (isConnectionError(error)) this.#unanswered.add(error as object);
      throw error;
    }
  }

  #broker(nodeId: number): Promise<Broker> {
    const known = this.#brokers.get(nodeId);
    if (known !== undefined) return known;
    const broker = this.#openBroker(nodeId);
    this.#brokers.set(nodeId, broker);
    broker.catch(() => {
      if (this.#brokers.get(nodeId) === broker) this.#brokers.delete(nodeId);
    });
    return broker;
  }

  async #openBroker(nodeId: number): Promise<Broker> {
    if (this.#closed) throw protocolError(CODE.brokerNotAvailable);
    const address = this.#addresses.get(nodeId);
    if (address === undefined) throw protocolError(CODE.brokerNotAvailable);
    const { connectionPoolBuilder, rootLogger: logger } = this.#pool;
    const connectionPool = await connectionPoolBuilder.build(address);
    const broker = this.#pool.createBroker({ connectionPool, logger, nodeId, versions: null });
    try {
      await broker.connect();
      const where = `${address.host}:${address.port}`;
      checkBrokerSupport(broker.versions, where);
      warnOfLostMarkers(this.#client, broker.versions, where);
      this.#opened.add(connectionPool.pool[0]);
    } catch (error) {
      // It may have another address by now: metadata will tell.
      this.#addresses.delete(nodeId);
      await broker.disconnect().catch(() => undefined);
      throw error;
    }
    return broker;
  }

  /** Together: KafkaJS would open two sockets into one object. */
  async #connect(connection: Connection): Promise<void> {
    if (connection.isConnected()) return;
    let connecting = this.#connecting.get(connection);
    if (connecting === undefined) {
      connecting = connection
        .connect()
        .then(() => this.#opened.add(connection))
        .finally(() => this.#connecting.delete(connection));
      this.#connecting.set(connection, connecting);
    }
    await connecting;
  }

  async #dropIf(nodeId: number, broker: Broker): Promise<void> {
    const current = this.#brokers.get(nodeId);
    if (current !== undefined && (await current.catch(() => undefined)) === broker)
      this.#drop(nodeId);
  }

  #drop(nodeId: number): void {
    const broker = this.#brokers.get(nodeId);
    this.#brokers.delete(nodeId);
    // Waits for the requests of others that are still under way there.
    broker?.then((opened) => opened.disconnect()).catch(() => undefined);
  }

  /** Ends all connections. Requests under way are waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    const brokers = [...this.#brokers.values()];
    this.#brokers.clear();
    await Promise.allSettled(brokers.map(async (broker) => (await broker).disconnect()));
  }
}
