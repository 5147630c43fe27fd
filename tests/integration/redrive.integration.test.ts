import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { eventsPipeline } from '../../pipelines/events/topology.ts';
import { readDlq } from '../../runtime/delivery/dlq-reader.ts';
import { createPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { WebhookReceived } from '../../schemas/types.ts';
import { decodedTopic, eventually, kafkaFixture } from '../support/kafka.ts';
import { untilProcessed } from '../support/processed.ts';
import { ReachflowProcess } from '../support/reachflow-process.ts';
import { testStack } from './stack.ts';

const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const { client, codec } = kafkaFixture();
let worker: ReachflowProcess | undefined;

afterEach(() => worker?.end('SIGKILL'));

function environment(): Record<string, string> {
  const { kafka, registry } = testStack();
  return {
    REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
    REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
    REACHFLOW_REGISTRY_URL: registry.url,
  };
}

/** The command as a user runs it. */
async function dlq(...args: string[]): Promise<string> {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, NO_COLOR: '1', ...environment() };
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, 'dlq', ...args], { env });
  return stdout;
}

function webhook(id: string, payload: string): WebhookReceived {
  const at = Date.now();
  return {
    event_id: id,
    tenant_id: 'acme',
    source: 's',
    event_type: 'e',
    delivery_id: id,
    entity_id: `entity-${id}`,
    occurred_at: at,
    received_at: at,
    payload,
  };
}

const PATCH = `
import type { Patch } from '${new URL('../../cli/dlq/patch.ts', import.meta.url).pathname}';

const mend: Patch<'webhook.received'> = ({ value }) =>
  value === null || value === undefined || value.event_id === 'leave' ? undefined : { ...value, payload: '{}' };
export default mend;
`;

describe('the DLQ workbench on a pipeline that runs', () => {
  it('shows letters, tries a patch, sends patched records to the pipeline alone, drops the rest', async () => {
    worker = new ReachflowProcess(environment(), ['--only', 'events']);
    await worker.ready();
    const publisher = await createPublisher(client, codec);
    for (const [id, payload] of [
      ['good', '{}'],
      ['mend', 'no json'],
      ['leave', 'no json'],
    ] as const) {
      const value = webhook(id, payload);
      await publisher.publish('webhook.received', { key: `acme:entity-${id}`, value });
    }
    await publisher.close();
    const ids = async () =>
      (await decodedTopic(client, codec, 'event.recorded')).map(({ event_id }) => event_id);
    await eventually('two letters', async () => {
      let letters = 0;
      await readDlq(client, 'webhook.received.events.dlq', () => {
        letters += 1;
      });
      return letters === 2;
    });

    const [letter] = (await dlq('list', '--json', '--where', 'event_id=mend')).trim().split('\n');
    const { fingerprint, step, value } = JSON.parse(letter ?? '{}') as Record<string, unknown>;
    expect({ step, value }).toMatchObject({
      step: 'validate-webhook',
      value: { event_id: 'mend', payload: 'no json' },
    });
    const patch = join(mkdtempSync(join(tmpdir(), 'reachflow-patch-')), 'patch.ts');
    writeFileSync(patch, PATCH);
    const mended = await dlq('redrive', String(fingerprint), '--patch', patch, '--dry-run');
    expect(mended).toMatch(/delivered +event\.recorded key acme:entity-mend/);
    expect(mended).toMatch(/1 delivered/);
    expect(mended).toMatch(/1 left/);
    expect(await ids()).toEqual(['good']);

    expect(await dlq('redrive', '--patch', patch, '--yes')).toContain(
      '1 letters redriven, 1 left in place',
    );
    await eventually('the mended event', async () => (await ids()).includes('mend'));
    expect(await dlq('drop', '--where', 'event_id=leave', '--yes')).toContain('1 letters dropped');
    expect(await dlq('list', '--all', '--groups')).toMatch(/^2 +\w+ +webhook\.received/m);
    await untilProcessed(client, eventsPipeline);
    expect((await ids()).toSorted()).toEqual(['good', 'mend']);
  });
});
