import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { systemClock } from './clock.ts';
import { deliveryConfigSchema } from './config.ts';
import type { Sink } from './sink.ts';
import { StoreGate } from './store-gate.ts';

const config = deliveryConfigSchema.parse({ breaker: { minimumWrites: 2 } });

function gateOf(code: string, retry: 'none' | 'backoff'): StoreGate {
  const sink: Sink = {
    name: 'scripted',
    mode: 'transactional',
    topics: ['contact.golden'],
    limits: { records: 10, bytes: 1_000, lingerMs: 0 },
    writers: 2,
    open: async () => undefined,
    write: async () => {
      throw new ReachflowError('no', { code, domain: 'external', retry });
    },
    close: async () => undefined,
  };
  return new StoreGate({ sink, config, clock: systemClock, logger: pino({ level: 'silent' }) });
}

async function writeTwice(gate: StoreGate): Promise<void> {
  const batch = { topic: 'contact.golden', partition: 0, range: undefined, records: [] };
  for (let i = 0; i < 2; i += 1) {
    await gate.write(batch, [], new AbortController().signal).catch(() => undefined);
  }
}

describe('the way to a store', () => {
  it('closes when writes fail', async () => {
    const gate = gateOf('STORE_AWAY', 'backoff');
    await writeTwice(gate);
    expect(gate.breaker).toBe('open');
  });

  it('stays open to others while owners are fenced: a store that says so is well', async () => {
    const gate = gateOf('SINK_FENCED', 'none');
    await writeTwice(gate);
    expect(gate.breaker).toBe('closed');
  });
});
