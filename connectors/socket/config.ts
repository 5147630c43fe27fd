import { z } from 'zod';
import { bearerTokens } from '../../runtime/http/bearer.ts';
import { connectionServerFields } from '../../runtime/http/config.ts';
import {
  entityPointers,
  eventFields,
  jsonPointer,
  namesTenant,
  sourceName,
  TENANT_NEEDED,
} from '../event-source.ts';

const MIB = 1_048_576;

const sourceSchema = z
  .strictObject({
    tokens: bearerTokens,
    idPointer: jsonPointer
      .default('/id')
      .describe('Where a message has its id, text or a number: the same when it is sent again.'),
    ...eventFields,
    eventTypePointer: jsonPointer
      .default('/type')
      .describe("Where a message names the event's type; without a value there, `message`."),
    entityPointers: entityPointers('/entity_id', '/id'),
  })
  .refine(namesTenant, { message: TENANT_NEEDED });

/** The `socket` section of the configuration: events over WebSockets. */
export const socketConfigSchema = z.strictObject({
  ...connectionServerFields(8086),
  maxMessageBytes: z
    .int()
    .min(64)
    .max(5 * MIB)
    .default(MIB)
    .describe('Largest message, bytes; a larger one ends its connection (1009).'),
  maxInFlight: z
    .int()
    .min(1)
    .max(10_000)
    .default(256)
    .describe('Messages of a connection that are not answered yet: then no more are read from it.'),
  maxInFlightTotal: z
    .int()
    .min(1)
    .default(8_000)
    .describe('The same of all connections together; below kafka.maxQueuedRecords.'),
  maxInFlightBytes: z
    .int()
    .min(MIB)
    .default(64 * MIB)
    .describe('Bytes of the messages of all connections that are not answered yet.'),
  retryAfterSeconds: z
    .int()
    .min(1)
    .default(5)
    .describe('When to send again what could not be stored, s.'),
  pingIntervalMs: z
    .int()
    .min(100)
    .default(30_000)
    .describe(
      'How often a connection is asked whether it is alive; twice without an answer ends it, ms.',
    ),
  shutdownTimeoutMs: z
    .int()
    .min(100)
    .default(10_000)
    .describe('How long a stop waits for the answers to what was read, ms.'),
  sources: z
    .record(sourceName, sourceSchema)
    .default({})
    .describe('Who may send: WebSocket at /ingest/<name>. Without any, no port is opened.'),
});

export type SocketConfig = z.infer<typeof socketConfigSchema>;
export type SocketSource = z.infer<typeof sourceSchema>;
