/** Error codes of the protocol that something depends on; KafkaJS's names of some are older than Kafka's. */
export const CODE = {
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  brokerNotAvailable: 8,
  messageTooLarge: 10,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  recordListTooLarge: 18,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  duplicateSequence: 46,
} as const;

/** Codes after which the same request may work a moment later, perhaps at another broker. */
const TRANSIENT = new Set([
  2, // CORRUPT_MESSAGE: damaged on the way
  3, // UNKNOWN_TOPIC_OR_PARTITION: metadata not everywhere yet
  5, // LEADER_NOT_AVAILABLE
  6, // NOT_LEADER_OR_FOLLOWER
  7, // REQUEST_TIMED_OUT
  8, // BROKER_NOT_AVAILABLE
  9, // REPLICA_NOT_AVAILABLE
  13, // NETWORK_EXCEPTION
  14, // COORDINATOR_LOAD_IN_PROGRESS
  15, // COORDINATOR_NOT_AVAILABLE
  16, // NOT_COORDINATOR
  19, // NOT_ENOUGH_REPLICAS
  20, // NOT_ENOUGH_REPLICAS_AFTER_APPEND
  41, // NOT_CONTROLLER
  51, // CONCURRENT_TRANSACTIONS
  56, // KAFKA_STORAGE_ERROR
  74, // FENCED_LEADER_EPOCH
  75, // UNKNOWN_LEADER_EPOCH
  78, // OFFSET_NOT_AVAILABLE
]);

/** Another owner of the transactional id took over, or the coordinator aborted the transaction for its age. */
const FENCED = new Set([
  47, // INVALID_PRODUCER_EPOCH
  49, // INVALID_PRODUCER_ID_MAPPING
  90, // PRODUCER_FENCED
]);

/** A member of a group that is answered so has to join it again. */
const GROUP_CHANGES = new Set([
  22, // ILLEGAL_GENERATION
  25, // UNKNOWN_MEMBER_ID
  27, // REBALANCE_IN_PROGRESS
]);

/** Names of what KafkaJS throws when a connection or the way to a broker failed. */
const CONNECTION_ERRORS = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSLockTimeout',
  'KafkaJSNumberOfRetriesExceeded',
]);

/** The protocol's error code, where a broker answered with one. */
export function protocolCode(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** True when the broker could not be reached, or went away before it answered. */
export function isConnectionError(error: unknown): boolean {
  const name = (error as { name?: unknown } | null)?.name;
  return typeof name === 'string' && CONNECTION_ERRORS.has(name);
}

/** True when there was no way to the broker at all, or none is known. */
export function isUnreachable(error: unknown): boolean {
  return isConnectionError(error) || protocolCode(error) === CODE.brokerNotAvailable;
}

/** True when the same request may work a moment later. */
export function isTransient(error: unknown): boolean {
  const code = protocolCode(error);
  return code === undefined ? isConnectionError(error) : TRANSIENT.has(code);
}

/** True when this owner of a transactional id must not go on. */
export function isFenced(error: unknown): boolean {
  const code = protocolCode(error);
  return code !== undefined && FENCED.has(code);
}

/** True when a record or a batch is over the broker's limit: the same again is refused again. */
export function isTooLarge(error: unknown): boolean {
  const code = protocolCode(error);
  return code === CODE.messageTooLarge || code === CODE.recordListTooLarge;
}

/** True when a member of a consumer group has to join it again. */
export function isGroupChange(error: unknown): boolean {
  const code = protocolCode(error);
  return code !== undefined && GROUP_CHANGES.has(code);
}
