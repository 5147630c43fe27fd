import { ReachflowError } from '../errors.ts';
import type { KafkaClient } from './client.ts';
import type { Broker } from './kafkajs-internals.ts';
import { FETCH, METADATA, PRODUCE } from './wire.ts';

/** The oldest Kafka whose brokers can do all that exactly-once needs. */
const OLDEST = '2.5';

/** A request and the versions of it, one of which a broker has to know. */
interface Need {
  readonly key: number;
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

/**
 * What we send, in the versions that we, or KafkaJS for us, can speak.
 *
 * InitProducerId counts from version 3 on although version 1 is spoken: it came with KIP-360 in Kafka 2.5. Older brokers
 * forget a producer once its records are deleted, and then refuse a task that was silent for the retention's time. That
 * OffsetFetch cannot ask for stable offsets (KIP-447, version 7) does no harm: a task runs InitProducerId first, which
 * decides what its transactional id has left open.
 */
const NEEDS: readonly Need[] = [
  { ...PRODUCE, min: PRODUCE.version, max: PRODUCE.version },
  { ...FETCH, min: FETCH.version, max: FETCH.version },
  { ...METADATA, min: METADATA.version, max: METADATA.version },
  { key: 2, name: 'ListOffsets', min: 2, max: 3 },
  { key: 9, name: 'OffsetFetch', min: 1, max: 4 },
  { key: 10, name: 'FindCoordinator', min: 1, max: 2 },
  { key: 11, name: 'JoinGroup', min: 2, max: 5 },
  { key: 15, name: 'DescribeGroups', min: 0, max: 2 },
  { key: 19, name: 'CreateTopics', min: 0, max: 3 },
  { key: 21, name: 'DeleteRecords', min: 0, max: 1 },
  { key: 24, name: 'AddPartitionsToTxn', min: 0, max: 1 },
  { key: 25, name: 'AddOffsetsToTxn', min: 0, max: 1 },
  { key: 26, name: 'EndTxn', min: 0, max: 1 },
  { key: 28, name: 'TxnOffsetCommit', min: 0, max: 1 },
];
const INIT_PRODUCER_ID = { key: 22, name: 'InitProducerId', atLeast: 3, max: 1 };

/**
 * Refuses a broker that cannot do what exactly-once needs, by what it says of itself (ApiVersions, KIP-35).
 * @param versions as KafkaJS keeps them; null before they are known, which is no reason to refuse.
 * @throws ReachflowError `BROKER_UNSUPPORTED`, which names the requests.
 */
export function checkBrokerSupport(versions: Broker['versions'], address: string): void {
  if (versions === null) return;
  const missing = NEEDS.flatMap(({ key, name, min, max }) => {
    const offered = versions[key];
    const speaks = offered !== undefined && offered.maxVersion >= min && offered.minVersion <= max;
    return speaks ? [] : [`${name} ${min === max ? min : `${min}–${max}`}`];
  });
  const { key, name, atLeast, max } = INIT_PRODUCER_ID;
  const offered = versions[key];
  if (offered === undefined || offered.maxVersion < atLeast || offered.minVersion > max)
    missing.push(`${name} ${atLeast}`);
  if (missing.length === 0) return;
  throw new ReachflowError(
    `the broker at ${address} cannot do what exactly-once needs: it lacks ${missing.join(', ')}`,
    {
      code: 'BROKER_UNSUPPORTED',
      domain: 'user',
      hint: `Reachflow needs Kafka ${OLDEST} or newer, or a broker that speaks its protocol: docs/guides/deploy.md.`,
    },
  );
}

/** DescribeLogDirs got its version 5 with Kafka 4.3: brokers do not tell their version, only what they speak. */
const DESCRIBE_LOG_DIRS = { key: 35, since43: 5 };
const warned = new WeakSet<KafkaClient>();

/**
 * Warns, once for a client, of a broker that may lose the end of a transaction: Kafka 4.3.0 and 4.3.1 write no marker to
 * a partition that has no leader when the transaction ends, and take it for ended (KAFKA-20734). What was aborted may then
 * be committed with the next transaction, and what was committed may be aborted.
 * @param versions as KafkaJS keeps them; null before they are known.
 */
export function warnOfLostMarkers(
  client: KafkaClient,
  versions: Broker['versions'],
  address: string,
): void {
  const { key, since43 } = DESCRIBE_LOG_DIRS;
  if (!client.config.warnOfLostMarkers || warned.has(client)) return;
  if ((versions?.[key]?.maxVersion ?? 0) < since43) return;
  warned.add(client);
  client.logger.warn(
    { broker: address },
    'this broker speaks the protocol of Kafka 4.3: 4.3.0 and 4.3.1 lose transaction markers of partitions without a ' +
      'leader (KAFKA-20734), and with them exactly-once. Use 4.2.1 or a version with the fix; then ' +
      'kafka.warnOfLostMarkers: false silences this.',
  );
}
