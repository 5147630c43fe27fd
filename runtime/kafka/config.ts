import { z } from 'zod';

/** `kafka.tls`: who the brokers are, and who we are to them. */
const tlsSchema = z.strictObject({
  enabled: z.boolean().default(false).describe('Connect to the brokers over TLS.'),
  caFile: z
    .string()
    .default('')
    .describe(
      "PEM file of the authorities that may vouch for a broker; Node's own list when empty.",
    ),
  certFile: z
    .string()
    .default('')
    .describe('PEM file of our own certificate, for brokers that ask for one (mutual TLS).'),
  keyFile: z.string().default('').describe('PEM file of the key of certFile.'),
  keyPassphrase: z
    .string()
    .default('')
    .describe('Passphrase of keyFile, if it has one.')
    .meta({ secret: true }),
});

/** `kafka.sasl`: how we prove who we are (RFC 4616 PLAIN, RFC 5802 and 7677 SCRAM). */
const saslSchema = z.strictObject({
  mechanism: z
    .enum(['none', 'plain', 'scram-sha-256', 'scram-sha-512'])
    .default('none')
    .describe(
      'How we log in to the brokers; `plain` sends the password as it is: use TLS with it.',
    ),
  username: z.string().default('').describe('User, or API key.'),
  password: z.string().default('').describe('Password, or API secret.').meta({ secret: true }),
});

/** The `kafka` section of the configuration. */
export const kafkaConfigSchema = z.strictObject({
  brokers: z
    .array(z.string().regex(/^\S+:\d{1,5}$/, 'expected host:port, e.g. kafka-1:9092'))
    .min(1)
    .default(['127.0.0.1:9092'])
    .describe('Bootstrap brokers, host:port.'),
  clientId: z
    .string()
    .min(1)
    .default('reachflow')
    .describe('Name that the brokers log for our connections.'),
  tls: tlsSchema.default(tlsSchema.parse({})),
  sasl: saslSchema.default(saslSchema.parse({})),
  namespace: z
    .string()
    .regex(/^[a-zA-Z0-9_-]*$/, 'letters, digits, _ and - only')
    .default('')
    .describe(
      'Prefix of every topic, consumer group and transactional id: two installations can share a cluster.',
    ),
  partitions: z
    .int()
    .min(0)
    .max(1_000)
    .default(4)
    .describe(
      'Partitions of a topic that we create; 0 takes the production figure of the topics map.',
    ),
  replicationFactor: z
    .int()
    .min(1)
    .max(10)
    .default(1)
    .describe('Replicas of a topic that we create.'),
  compression: z
    .enum(['none', 'gzip'])
    .default('none')
    .describe('How produced batches are compressed.'),
  lingerMs: z
    .int()
    .min(0)
    .max(1_000)
    .default(5)
    .describe('How long a publisher waits to fill a batch, ms.'),
  batchBytes: z
    .int()
    .min(1_024)
    .max(900_000)
    .default(262_144)
    .describe('Largest batch that a publisher sends, bytes.'),
  maxQueuedRecords: z
    .int()
    .min(1)
    .default(10_000)
    .describe('Records that may wait in a publisher before it refuses more.'),
  ackTimeoutMs: z
    .int()
    .min(100)
    .default(10_000)
    .describe('How long a publication may wait for acks=all, ms.'),
  maxEpochRecords: z.int().min(1).default(5_000).describe('Most input records of one transaction.'),
  sessionTimeoutMs: z
    .int()
    .min(6_000)
    .default(10_000)
    .describe('How long a dead worker keeps its partitions before others take them over, ms.'),
  warnOfLostMarkers: z
    .boolean()
    .default(true)
    .describe(
      'Warn of brokers that speak the protocol of Kafka 4.3, two of whose versions lose transaction markers (KAFKA-20734); false for one that has the fix.',
    ),
  fetchMaxWaitMs: z
    .int()
    .min(5)
    .max(5_000)
    .default(100)
    .describe('How long a fetch may wait for data, ms.'),
});

/** The `registry` section. */
export const registryConfigSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:8081/apis/ccompat/v7')
    .describe('Base of the Confluent-compatible schema registry API.'),
  username: z
    .string()
    .default('')
    .describe('User, or API key, if the registry asks for one (HTTP Basic).'),
  password: z.string().default('').describe('Password, or API secret.').meta({ secret: true }),
});

export type KafkaConfig = z.infer<typeof kafkaConfigSchema>;
export type RegistryConfig = z.infer<typeof registryConfigSchema>;

/** A topic, group or transactional id as the brokers know it: with the namespace before it. */
export function physicalName(config: Pick<KafkaConfig, 'namespace'>, name: string): string {
  return config.namespace === '' ? name : `${config.namespace}.${name}`;
}
