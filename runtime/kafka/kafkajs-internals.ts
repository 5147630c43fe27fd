import type kafkajs from 'kafkajs';
import { kafkajsModule } from './kafkajs.ts';

/**
 * What we use of KafkaJS below its producer and consumer, typed as far as we use it. Its version is pinned exactly
 * (docs/adr/0001-kafka-client.md); `kafkajs-internals.test.ts` fails where a version has another shape.
 */

/** One socket to a broker. Responses come in the order of requests, matched by correlation id. */
export interface Connection {
  isConnected(): boolean;
  /** Not guarded: two calls at once open two sockets into one object. */
  connect(): Promise<unknown>;
  isAuthenticated(): boolean;
  authenticate(): Promise<void>;
  nextCorrelationId(): number;
  readonly socket: import('node:net').Socket;
  readonly requestQueue: {
    push(request: {
      readonly entry: {
        readonly apiKey: number;
        readonly apiName: string;
        readonly apiVersion: number;
        readonly correlationId: number;
        readonly resolve: (response: { readonly payload: Buffer }) => void;
        readonly reject: (error: unknown) => void;
      };
      readonly expectResponse: boolean;
      readonly requestTimeout: number | null;
      readonly sendRequest: () => void;
    }): void;
    maybeThrottle(ms: number): void;
  };
}

export interface ConnectionPool {
  /** The first serves all requests but fetches, the second fetches. */
  readonly pool: readonly [Connection, Connection];
}

interface TopicPartitions<P> {
  readonly topic: string;
  readonly partitions: readonly P[];
}

/** Who a request of a transaction is from. */
export interface TransactionIdentity {
  readonly transactionalId: string;
  readonly producerId: string;
  readonly producerEpoch: number;
}

/** A broker: requests by name, each rejected with the response's first error. */
export interface Broker {
  readonly connectionPool: ConnectionPool;
  /** By API key; null before it has connected. */
  readonly versions: Readonly<
    Record<number, { readonly minVersion: number; readonly maxVersion: number } | undefined>
  > | null;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  findGroupCoordinator(request: {
    readonly groupId: string;
    /** 0 of a group, 1 of a transactional id. */
    readonly coordinatorType: 0 | 1;
  }): Promise<{ readonly coordinator: { nodeId: number; host: string; port: number } }>;
  initProducerId(request: {
    /** Null for a producer that is idempotent only. */
    readonly transactionalId: string | null;
    readonly transactionTimeout: number;
  }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
  addPartitionsToTxn(
    request: TransactionIdentity & { readonly topics: readonly TopicPartitions<number>[] },
  ): Promise<unknown>;
  addOffsetsToTxn(request: TransactionIdentity & { readonly groupId: string }): Promise<unknown>;
  txnOffsetCommit(
    request: TransactionIdentity & {
      readonly groupId: string;
      readonly topics: readonly TopicPartitions<{
        readonly partition: number;
        readonly offset: string;
        readonly metadata: string | null;
      }>[];
    },
  ): Promise<unknown>;
  endTxn(request: TransactionIdentity & { readonly transactionResult: boolean }): Promise<unknown>;
  offsetFetch(request: {
    readonly groupId: string;
    readonly topics: readonly TopicPartitions<{ readonly partition: number }>[];
  }): Promise<{
    readonly responses: readonly TopicPartitions<{
      readonly partition: number;
      /** -1 where nothing is committed. */
      readonly offset: string;
      readonly metadata: string | null;
    }>[];
  }>;
  /** Of a member of a group; refused when it is not of the group's present generation. */
  offsetCommit(request: {
    readonly groupId: string;
    readonly memberId: string;
    readonly groupGenerationId: number;
    readonly topics: readonly TopicPartitions<{
      readonly partition: number;
      readonly offset: string;
      readonly metadata: string;
    }>[];
  }): Promise<unknown>;
  listOffsets(request: {
    readonly replicaId: -1;
    readonly isolationLevel: 0 | 1;
    readonly topics: readonly TopicPartitions<{
      readonly partition: number;
      readonly timestamp: number;
    }>[];
  }): Promise<{
    readonly responses: readonly TopicPartitions<{
      readonly partition: number;
      readonly offset: string;
    }>[];
  }>;
  deleteRecords(request: {
    readonly topics: readonly TopicPartitions<{
      readonly partition: number;
      readonly offset: string;
    }>[];
  }): Promise<unknown>;
  /** Rejected with `errors`, one for each topic that was not created. */
  createTopics(request: {
    readonly topics: readonly {
      readonly topic: string;
      readonly numPartitions: number;
      readonly replicationFactor: number;
      readonly configEntries: readonly { readonly name: string; readonly value: string }[];
    }[];
    /** How long the broker may take, ms. */
    readonly timeout: number;
  }): Promise<unknown>;
  describeGroups(request: { readonly groupIds: readonly string[] }): Promise<{
    readonly groups: readonly {
      readonly state: string;
      readonly members: readonly {
        readonly memberId: string;
        readonly clientId: string;
        readonly clientHost: string;
        readonly memberAssignment: Buffer;
      }[];
    }[];
  }>;
}

/** Where a broker is. */
export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  readonly rack?: string;
}

/** Makes connections with the client's settings (TLS, SASL, timeouts); knows the bootstrap brokers. */
export interface BrokerPool {
  /** Connects to one of the bootstrap brokers, trying one after the other. */
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  readonly seedBroker: Broker | undefined;
  readonly versions: Broker['versions'];
  readonly connectionPoolBuilder: { build(at: BrokerAddress): Promise<ConnectionPool> };
  createBroker(options: {
    readonly connectionPool: ConnectionPool;
    readonly logger: unknown;
    readonly nodeId: number;
    readonly versions: Broker['versions'];
  }): Broker;
  readonly rootLogger: unknown;
}

type CreateCluster = (options: {
  readonly allowAutoTopicCreation: boolean;
  readonly maxInFlightRequests: number | null;
}) => { readonly brokerPool: BrokerPool };

/** A pool of broker connections of its own, with all settings of `kafka`. Not connected yet. */
export function createBrokerPool(kafka: kafkajs.Kafka): BrokerPool {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  const create = (kafka as unknown as Record<symbol, CreateCluster | undefined>)[
    symbol ?? Symbol()
  ];
  if (create === undefined) throw new Error('kafkajs makes no clusters: has its layout changed?');
  return create({ allowAutoTopicCreation: false, maxInFlightRequests: null }).brokerPool;
}

/** An error that a broker answered: `code` is the protocol's number, `type` its name. */
export interface ProtocolError extends Error {
  readonly type: string;
  readonly code: number;
}

const protocolErrors = kafkajsModule('protocol/error') as {
  createErrorFromCode(code: number): ProtocolError;
};

/** The error of a response's error code, which is not 0. KafkaJS does not keep codes that are newer than it. */
export function protocolError(code: number): ProtocolError {
  return Object.assign(protocolErrors.createErrorFromCode(code), { code });
}

/** Encodes and decodes what members of a consumer group tell each other. */
export const assignerProtocol = kafkajsModule('consumer/assignerProtocol') as {
  readonly MemberMetadata: {
    encode(metadata: { version: number; topics: readonly string[]; userData: Buffer }): Buffer;
    decode(buffer: Buffer): {
      readonly version: number;
      readonly topics: readonly string[];
      readonly userData: Buffer | null;
    };
  };
  readonly MemberAssignment: {
    encode(assignment: {
      version: number;
      assignment: Readonly<Record<string, readonly number[]>>;
      userData: Buffer;
    }): Buffer;
    decode(buffer: Buffer): {
      readonly assignment: Readonly<Record<string, number[]>>;
      readonly userData: Buffer | null;
    } | null;
  };
};

/** A consumer's own cluster, as its assigners get it. */
export interface ConsumerCluster {
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number }[];
  findGroupCoordinator(options: unknown): Promise<GroupCoordinator>;
}

/** The broker that a member joins its group at. */
export interface GroupCoordinator {
  joinGroup(
    request: unknown,
  ): Promise<{ readonly generationId: number; readonly memberId: string }>;
}
