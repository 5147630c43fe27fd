import { describe, expect, it } from 'vitest';
import { pipelines } from '../pipelines/catalog.ts';
import type { TopicName } from '../schemas/topics.ts';
import { defineProcessor } from './task/processor.ts';
import { planTopics } from './topic-plan.ts';

const processor = (table: TopicName) =>
  defineProcessor<'cdc.public.events'>({
    name: 'p',
    input: 'cdc.public.events',
    outputs: [],
    tables: [{ topic: table, toRow: () => undefined }],
    create: () => ({ process: () => ({ kind: 'ok' }) }),
  });

describe('planTopics', () => {
  it('plans a changelog and a DLQ for each processor, a DLQ for each sink, as wide as what they follow', () => {
    const plans = planTopics(pipelines, [{ name: 's', topics: ['contact.golden'] }], 0);
    const of = (name: string) => plans.find((plan) => plan.name === name);
    expect(of('contacts.golden.changelog')).toMatchObject({ cleanup: 'compact', partitions: 50 });
    expect(of('cdc.public.contacts.contacts.dlq')).toMatchObject({ partitions: 50 });
    expect(of('contact.golden.s.dlq')).toMatchObject({
      partitions: 100,
      retentionMs: 14 * 86_400_000,
    });
    expect(of('webhook.received.events.dlq')?.maxMessageBytes).toBeGreaterThan(6 * 1_048_576);
  });

  it('keeps the rows of a table for ever, and refuses a table whose topic expires', () => {
    const companies = planTopics(pipelines, [], 4).find(
      ({ name }) => name === 'cdc.public.companies',
    );
    expect(companies).toMatchObject({ cleanup: 'compact', retentionMs: -1 });
    const expiring = { name: 'x', processors: [processor('cdc.public.contacts')] };
    expect(() => planTopics([expiring], [], 4)).toThrow(
      expect.objectContaining({ code: 'TABLE_EXPIRES' }),
    );
  });
});
