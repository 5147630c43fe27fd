/** Our side of `sink-jdbc`, in a process of its own: the Postgres sink behind its runner, told by the parent over IPC. */
import { pino } from 'pino';
import { z } from 'zod';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { SinkRunner } from '../../runtime/delivery/sink-runner.ts';
import { errorMessage } from '../../runtime/errors.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { tableModel } from '../../sinks/fields.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';

const commandSchema = z.discriminatedUnion('command', [
  z.object({
    command: z.literal('start'),
    brokers: z.array(z.string()),
    namespace: z.string(),
    partitions: z.number(),
    registryUrl: z.string(),
    postgresUrl: z.string(),
    schema: z.string(),
    connections: z.number(),
  }),
  z.object({ command: z.literal('stop') }),
]);

/** What the parent sends; each is answered by `done`, or `failed` and why. */
export type WorkerCommand = z.input<typeof commandSchema>;
export type WorkerAnswer = { readonly done: true } | { readonly failed: string };

const logger = pino({ level: 'warn' }, pino.destination(2));
let stop = async (): Promise<void> => undefined;

async function start(
  options: Extract<z.output<typeof commandSchema>, { command: 'start' }>,
): Promise<void> {
  const { brokers, namespace, partitions, registryUrl, postgresUrl, schema } = options;
  const client = createKafkaClient(
    kafkaConfigSchema.parse({ brokers, namespace, partitions }),
    logger,
  );
  const codec = new TopicCodec(createSchemaRegistryClient(registryUrl), client.physical);
  const publisher = await createPublisher(client, codec);
  const config = { url: postgresUrl, schema, maxConnections: options.connections };
  const sink = createPostgresSink(postgresConfigSchema.parse(config), { logger }, [
    tableModel('contact.golden'),
  ]);
  const runner = new SinkRunner({
    ...{ sink, client, codec, publisher, logger },
    config: deliveryConfigSchema.parse({}),
    onFatal: (error) => answer({ failed: error.message }),
  });
  await runner.start();
  stop = async () => {
    await runner.stop();
    await publisher.close();
  };
}

function answer(message: WorkerAnswer): void {
  process.send?.(message);
}

async function obey(message: unknown): Promise<void> {
  const command = commandSchema.parse(message);
  if (command.command === 'start') await start(command);
  else await stop();
}

process.on('message', (message) => {
  obey(message).then(
    () => answer({ done: true }),
    (error: unknown) => answer({ failed: errorMessage(error) }),
  );
});
// The parent's end is ours.
process.on('disconnect', () => process.exit(0));
