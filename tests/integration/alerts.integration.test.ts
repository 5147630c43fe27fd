import { afterAll, beforeAll, expect, it } from 'vitest';
import { alertsPipeline } from '../../pipelines/alerts/topology.ts';
import type { FileImportChanged, WebhookReceived } from '../../schemas/types.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { decodedTopic, eventually } from '../support/kafka.ts';

const MINUTE = 60_000;
/** Whole seconds, some hours ago: what is sent now is the end of all of it. */
const START = Math.floor(Date.now() / 1_000) * 1_000 - 240 * MINUTE;
const PARTITIONS = 2;

let running: InProcess;

beforeAll(async () => {
  running = await inProcess(alertsPipeline, { partitions: PARTITIONS });
  await running.engine.prepare();
}, 60_000);
afterAll(() => running.close());

function call(tenant: string, index: number, at: number) {
  const value: WebhookReceived = {
    event_id: `gh:${tenant}:${index}`,
    tenant_id: tenant,
    source: 'gh',
    event_type: 'push',
    delivery_id: String(index),
    entity_id: `repo-${index % 8}`,
    occurred_at: null,
    received_at: at,
    payload: '{}',
  };
  const record = { key: `${tenant}:${value.entity_id}`, value, timestamp: at };
  return running.publisher.publish('webhook.received', record);
}

/** Calls in turn over all partitions, so that none holds event time back. */
async function calls(tenant: string, count: number, from: number, stepMs: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await call(tenant, index, from + index * stepMs);
}

function imported(id: string, state: string, at: number): Promise<void> {
  const value: FileImportChanged = {
    import_id: id,
    source: 'file:people',
    file: `${id}.csv`,
    topic: 'file.row.received',
    state,
    started_at: at,
    updated_at: at,
    rows: 1,
    rejected: 0,
    file_bytes: 10,
  };
  return running.publisher.publish('file.import.changed', { key: id, value, timestamp: at });
}

it('alerts are raised on a real broker: each once, by its pattern', {
  timeout: 120_000,
}, async () => {
  await imported('lost', 'running', START);
  await imported('done', 'running', START);
  await imported('done', 'finished', START + MINUTE);
  // Later imports, in turn over all partitions: two hours pass.
  for (let index = 0; index < 16; index += 1)
    await imported(`next-${index}`, 'finished', START + 120 * MINUTE);
  await calls('quick', 150, START, 200);
  await calls('slow', 64, START + MINUTE, 2_000);
  await calls('last', 16, START + 10 * MINUTE, 1_000);
  await running.engine.start();
  const raised = () => decodedTopic(running.client, running.codec, 'alert.raised');
  const expected = [`abandoned_import:lost:${START}`, `suspicious_activity:quick:${START}`];
  await eventually('both alerts', async () => (await raised()).length >= expected.length);
  expect((await raised()).map(({ alert_id }) => alert_id).sort()).toEqual(expected);
  expect(running.fatal).toEqual([]);
});
