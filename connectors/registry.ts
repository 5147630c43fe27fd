import type { z } from 'zod';
import type { Connector } from './connector.ts';
import { connectConfigSchema, debeziumConfigSchema } from './debezium/config.ts';
import { createDebeziumConnector } from './debezium/debezium-connector.ts';
import { fileConfigSchema } from './file/config.ts';
import { createFileConnector } from './file/file-connector.ts';
import { httpPollConfigSchema } from './http-poll/config.ts';
import { createHttpPollConnector } from './http-poll/http-poll-connector.ts';
import type { ConnectorServices } from './services.ts';
import { socketConfigSchema } from './socket/config.ts';
import { createSocketConnector } from './socket/socket-connector.ts';
import { webhookConfigSchema } from './webhook/config.ts';
import { followThrottles } from './webhook/throttles.ts';
import { createWebhookConnector } from './webhook/webhook-connector.ts';

/** The sections of the configuration that connectors read, by section name. */
export const connectorConfigSections = {
  connect: connectConfigSchema,
  debezium: debeziumConfigSchema,
  webhook: webhookConfigSchema,
  file: fileConfigSchema,
  httpPoll: httpPollConfigSchema,
  socket: socketConfigSchema,
} as const;

/** Those sections, parsed. The root configuration is one. */
export type ConnectorConfigs = {
  readonly [S in keyof typeof connectorConfigSections]: z.output<
    (typeof connectorConfigSections)[S]
  >;
};

export interface ConnectorRegistration {
  /** As in `--only` and the status. */
  readonly name: string;
  create(configs: ConnectorConfigs, services: ConnectorServices): Connector;
}

/** Every connector there is. Adding one: its folder, its section above and its entry here. */
export const connectors: readonly ConnectorRegistration[] = [
  {
    name: 'webhook',
    create: ({ webhook }, services) =>
      createWebhookConnector(webhook, {
        ...services,
        ...(services.parts?.includes('alerts') === true
          ? { openThrottles: () => followThrottles(services) }
          : {}),
      }),
  },
  {
    name: 'file',
    create: ({ file }, services) => createFileConnector(file, services),
  },
  {
    name: 'debezium',
    create: ({ debezium, connect }, services) =>
      createDebeziumConnector(debezium, { ...services, connect }),
  },
  {
    name: 'http-poll',
    create: ({ httpPoll }, services) => createHttpPollConnector(httpPoll, services),
  },
  {
    name: 'socket',
    create: ({ socket }, services) => createSocketConnector(socket, services),
  },
];
