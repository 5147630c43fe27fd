import { describe, expect, it } from 'vitest';
import { FetchedBatch } from './fetched-batch.ts';
import { kafkajs, kafkajsModule } from './kafkajs.ts';
import { assignerProtocol, createBrokerPool, protocolError } from './kafkajs-internals.ts';
import { isFenced, isTransient, protocolCode } from './protocol-errors.ts';

const kafka = new kafkajs.Kafka({
  brokers: ['127.0.0.1:1'],
  clientId: 'shape',
  logLevel: kafkajs.logLevel.NOTHING,
});

describe('the parts of KafkaJS that we use below its API', () => {
  it('have the shape that we declare', async () => {
    const pool = createBrokerPool(kafka);
    const address = { host: '127.0.0.1', port: 1 };
    const connectionPool = await pool.connectionPoolBuilder.build(address);
    const logger = pool.rootLogger;
    const broker = pool.createBroker({ connectionPool, logger, nodeId: 1, versions: null });
    for (const name of [
      'connect',
      'disconnect',
      'isConnected',
      'findGroupCoordinator',
      'initProducerId',
      'addPartitionsToTxn',
      'addOffsetsToTxn',
      'txnOffsetCommit',
      'endTxn',
      'listOffsets',
      'offsetCommit',
      'offsetFetch',
      'deleteRecords',
      'createTopics',
      'describeGroups',
    ] as const)
      expect(broker[name], name).toBeTypeOf('function');
    expect(connectionPool.pool.length).toBe(2);
    for (const connection of connectionPool.pool) {
      for (const name of [
        'connect',
        'isConnected',
        'isAuthenticated',
        'nextCorrelationId',
      ] as const)
        expect(connection[name], name).toBeTypeOf('function');
      expect(connection.requestQueue.push).toBeTypeOf('function');
      expect(connection.isConnected()).toBe(false);
    }
    await expect(broker.connect()).rejects.toMatchObject({ name: 'KafkaJSConnectionError' });
  });

  it('are replaced where ours are better', () => {
    expect(kafkajsModule('consumer/batch')).toBe(FetchedBatch);
  });

  it('tell errors by the codes of the protocol', () => {
    for (const [code, transient, fenced] of [
      [16, true, false],
      [47, false, true],
      [51, true, false],
      [90, false, true],
      [10, false, false],
    ] as const) {
      const error = protocolError(code);
      expect([protocolCode(error), isTransient(error), isFenced(error)]).toEqual([
        code,
        transient,
        fenced,
      ]);
    }
    expect(isTransient(new TypeError('a bug'))).toBe(false);
  });

  it('encode what members of a group tell each other', () => {
    const { MemberMetadata, MemberAssignment } = assignerProtocol;
    const userData = Buffer.from('data');
    const metadata = { version: 1, topics: ['a', 'b'], userData };
    expect(MemberMetadata.decode(MemberMetadata.encode(metadata))).toEqual(metadata);
    const assignment = { version: 1, assignment: { a: [0, 2], b: [1] }, userData };
    expect(MemberAssignment.decode(MemberAssignment.encode(assignment))).toEqual(assignment);
  });
});
