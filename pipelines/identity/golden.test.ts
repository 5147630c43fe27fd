import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { FileRowReceived, WebhookReceived } from '../../schemas/types.ts';
import { createIdentityPipeline } from './topology.ts';

const START = Date.UTC(2026, 0, 1);
const file = (name: string) => join(import.meta.dirname, 'golden', name);

type Input =
  | { readonly topic: 'webhook.received'; readonly value: WebhookReceived }
  | { readonly topic: 'file.row.received'; readonly value: FileRowReceived };

const OUTPUTS = [
  'contact.observed',
  'contact.unified',
  'contact.created',
  'contact.updated',
  'contact.merged',
  'contact.deleted',
  'contact.held_back',
] as const;

/** 64-bit numbers as text, as the API shows them. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/**
 * What `golden/input.json` becomes is `golden/output.json`, to the byte. UPDATE_GOLDEN=1 writes it, to be read before it is
 * committed: ids and versions of contacts are others then, and stores have to be filled anew.
 */
it('makes of the golden input the golden output', async () => {
  const driver = await TopologyTestDriver.open(createIdentityPipeline({ british: 'GB' }), {
    startMs: START,
  });
  const inputs = JSON.parse(readFileSync(file('input.json'), 'utf8')) as Input[];
  for (const { topic, value } of inputs) {
    const options = { timestamp: value.received_at };
    const key = `${value.tenant_id}:${value.entity_id}`;
    if (topic === 'webhook.received') await driver.pipe(topic, key, value, options);
    else await driver.pipe(topic, key, value, options);
  }
  const outputs = Object.fromEntries(OUTPUTS.map((topic) => [topic, driver.readValues(topic)]));
  const rejected = driver.deadLetters().map(({ info }) => info.message);
  await driver.close();
  const text = `${JSON.stringify({ ...outputs, rejected }, plain, 2)}\n`;
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file('output.json'), text);
  expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(file('output.json'), 'utf8')));
});
