/** The service under test, in a process of its own: told what to be over IPC. */
import { once } from 'node:events';
import { pino } from 'pino';
import { socketConfigSchema } from '../../connectors/socket/config.ts';
import { createSocketConnector } from '../../connectors/socket/socket-connector.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { subscriptionsConfigSchema } from '../../subscriptions/config.ts';
import { createSubscriptions } from '../../subscriptions/subscriptions.ts';
import { type ServiceOrder, type ServiceReady, tenantOf, tokenOf } from './protocol.ts';

async function serve(order: ServiceOrder): Promise<string | undefined> {
  const { brokers, namespace, registryUrl, tenants } = order;
  const logger = pino({ level: 'warn' });
  const config = kafkaConfigSchema.parse({ brokers, namespace });
  const client = createKafkaClient(config, logger);
  const codec = new TopicCodec(createSchemaRegistryClient(registryUrl), client.physical);
  const names = Array.from({ length: tenants }, (_, i) => tenantOf(i, tenants));
  if (order.kind === 'socket') {
    const sources = names.map((tenant) => [tenant, { tokens: [tokenOf(tenant)], tenant }]);
    // The clients of the benchmark answer no pings.
    const settings = {
      port: 0,
      pingIntervalMs: 3_600_000,
      sources: Object.fromEntries(sources),
    };
    const publisher = await createPublisher(client, codec);
    const socket = createSocketConnector(socketConfigSchema.parse(settings), { publisher, logger });
    await socket.start();
    return socket.url();
  }
  const topics = ['webhook.received'];
  const subscribers = names.map((tenant) => [
    tenant,
    { tokens: [tokenOf(tenant)], tenants: [tenant], topics },
  ]);
  const settings = { port: 0, subscribers: Object.fromEntries(subscribers) };
  const service = createSubscriptions(subscriptionsConfigSchema.parse(settings), {
    client,
    codec,
    logger,
  });
  await service.start();
  return service.url();
}

const [order] = (await once(process, 'message')) as [ServiceOrder];
const ready: ServiceReady = { url: (await serve(order)) ?? '' };
process.send?.(ready);
process.once('disconnect', () => process.exit(0));
