import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { testStack } from '../tests/integration/stack.ts';
import { createSchemaRegistryClient } from './registry.ts';

it('processes that start at the same moment register the same schema', async () => {
  const { url } = testStack().registry;
  const schema = JSON.stringify({
    type: 'record',
    name: 'ns.A',
    fields: [{ name: 'a', type: 'string' }],
  });
  for (let round = 0; round < 3; round += 1) {
    const subject = `race-${randomUUID()}-value`;
    const clients = Array.from({ length: 6 }, () => createSchemaRegistryClient(url));
    const ids = await Promise.all(clients.map((client) => client.register(subject, schema)));
    expect(new Set(ids).size).toBe(1);
  }
});
