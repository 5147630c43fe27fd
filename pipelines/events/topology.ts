import { defineProcessor, type PipelineSpec } from '../../runtime/task/processor.ts';
import { readEnvelope } from '../../schemas/envelope.ts';
import { createCountTenantsStep, windows } from './steps/count-tenants.ts';
import { createRecordEventStep, seenIds } from './steps/record-event.ts';
import { validateEventRow, validateWebhook } from './steps/validate.ts';

/** Accepted webhooks → valid events, each once. */
const webhooks = defineProcessor<'webhook.received'>({
  name: 'webhooks',
  input: 'webhook.received',
  outputs: ['event.recorded', 'metric.tenant.count.delta'],
  stores: [seenIds],
  create(context) {
    const { recordEvent, endEpoch } = createRecordEventStep(context);
    return {
      endEpoch,
      process({ value, timestamp }) {
        if (value === null) return { kind: 'drop', reason: 'tombstone' };
        return recordEvent('webhook', validateWebhook(value, timestamp), timestamp);
      },
    };
  },
});

/** Rows inserted into the events table → valid events, each once. Updates and deletes change no fact. */
const rows = defineProcessor<'cdc.public.events'>({
  name: 'rows',
  input: 'cdc.public.events',
  outputs: ['event.recorded', 'metric.tenant.count.delta'],
  stores: [seenIds],
  create(context) {
    const { recordEvent, endEpoch } = createRecordEventStep(context);
    return {
      endEpoch,
      process({ value, timestamp }) {
        const change = readEnvelope(value);
        if (change === undefined) return { kind: 'drop', reason: 'no row change' };
        if (change.kind === 'refused') return { kind: 'dlq', error: change.error };
        if (change.op !== 'c' && change.op !== 'r') {
          return { kind: 'drop', reason: 'no insert' };
        }
        return recordEvent(
          `event ${change.after.id}`,
          validateEventRow(change.after, timestamp),
          timestamp,
        );
      },
    };
  },
});

/** Partial counts of all tasks → one count per tenant and minute. */
const tenantCounts = defineProcessor<'metric.tenant.count.delta'>({
  name: 'tenant-counts',
  input: 'metric.tenant.count.delta',
  outputs: ['metric.tenant.count'],
  stores: [windows],
  create: createCountTenantsStep,
});

export const eventsPipeline: PipelineSpec = {
  name: 'events',
  processors: [webhooks, rows, tenantCounts],
};
