import { type AddressInfo, createServer } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { topicPartitions } from './admin.ts';
import { checkBrokerSupport, warnOfLostMarkers } from './broker-support.ts';
import { createKafkaClient } from './client.ts';
import { type KafkaConfig, kafkaConfigSchema } from './config.ts';
import { WireWriter } from './wire.ts';

/** Highest versions that brokers of these releases announce, by API key, as far as the checks look at them; newer ones add more. */
const KAFKA_2_3 = {
  ...{ 0: 7, 1: 11, 2: 5, 3: 8, 9: 5, 10: 2, 11: 5, 15: 3, 19: 3, 21: 1 },
  ...{ 22: 1, 24: 1, 25: 1, 26: 1, 28: 2 },
};
const KAFKA_2_5 = {
  ...{ 0: 8, 1: 11, 2: 5, 3: 9, 9: 7, 10: 3, 11: 7, 15: 5, 19: 5, 21: 1 },
  ...{ 22: 3, 24: 1, 25: 1, 26: 1, 28: 3 },
};

function versions(highest: Readonly<Record<number, number>>, lowest = 0) {
  return Object.fromEntries(
    Object.entries(highest).map(([key, maxVersion]) => [
      key,
      { minVersion: Math.min(lowest, maxVersion), maxVersion },
    ]),
  );
}

/** Answers whatever it is asked as an old broker answers ApiVersions (version 1 or 2). */
async function oldBroker() {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (request) => {
      const offered = Object.entries(KAFKA_2_3);
      const answer = new WireWriter(256).int32(0).int32(request.readInt32BE(8)).int16(0);
      answer
        .int32(offered.length + 1)
        .int16(18)
        .int16(0)
        .int16(2);
      for (const [key, max] of offered) answer.int16(Number(key)).int16(0).int16(max);
      const bytes = answer.int32(0).done();
      bytes.writeInt32BE(bytes.length - 4, 0);
      socket.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, close: () => server.close() };
}

describe('a broker', () => {
  it('is accepted from Kafka 2.5 on', () => {
    expect(() => checkBrokerSupport(versions(KAFKA_2_5), 'b:9092')).not.toThrow();
  });

  it('is refused when it is older, with the requests that it lacks', () => {
    expect(() => checkBrokerSupport(versions(KAFKA_2_3), 'b:9092')).toThrow(
      expect.objectContaining({
        code: 'BROKER_UNSUPPORTED',
        domain: 'user',
        message: expect.stringMatching(/b:9092 .* lacks InitProducerId 3$/),
        hint: expect.stringContaining('Kafka 2.5'),
      }),
    );
    const { 22: _none, ...withoutTransactions } = KAFKA_2_5;
    expect(() => checkBrokerSupport(versions({ ...withoutTransactions, 1: 10 }), 'b:9092')).toThrow(
      /lacks Fetch 11, InitProducerId 3$/,
    );
  });

  it('is refused when it has given up what we speak', () => {
    const offered = { ...versions(KAFKA_2_5), 3: { minVersion: 6, maxVersion: 20 } };
    expect(() => checkBrokerSupport(offered, 'b:9092')).toThrow(/lacks Metadata 5$/);
  });

  it('is refused by whoever connects to it first', async () => {
    const { address, close } = await oldBroker();
    const config = kafkaConfigSchema.parse({ brokers: [address] });
    const asking = topicPartitions(createKafkaClient(config, pino({ level: 'silent' })));
    await expect(asking).rejects.toMatchObject({
      code: 'BROKER_UNSUPPORTED',
      message: expect.stringContaining(address),
    });
    close();
  });

  it('that may lose transaction markers is warned of, once, unless told not to', () => {
    const told = (highest: number, config: Partial<KafkaConfig> = {}) => {
      const lines: string[] = [];
      const stream = { write: (line: string) => void lines.push(line) };
      const options = kafkaConfigSchema.parse({ brokers: ['b:9092'], ...config });
      const client = createKafkaClient(options, pino({ level: 'warn' }, stream));
      for (const _ of [1, 2])
        warnOfLostMarkers(client, versions({ ...KAFKA_2_5, 35: highest }), 'b:9092');
      return lines.filter((line) => line.includes('KAFKA-20734'));
    };
    expect(told(4)).toHaveLength(0);
    expect(told(5)).toHaveLength(1);
    expect(told(5, { warnOfLostMarkers: false })).toHaveLength(0);
  });
});
