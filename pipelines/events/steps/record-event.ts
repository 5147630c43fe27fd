import { Deduplicator, ttlStore } from '../../../runtime/operators/ttl-map.ts';
import { WindowCombiner } from '../../../runtime/operators/tumbling.ts';
import { invalid } from '../../../runtime/operators/validation.ts';
import { OK, type Outcome, type TaskContext } from '../../../runtime/task/processor.ts';
import type { Validated } from './validate.ts';

/** How long an event id is remembered: longer than senders of webhooks retry (up to 80 h). */
export const DEDUP_TTL_MS = 96 * 3_600_000;
export const WINDOW_MS = 60_000;

/** The store of seen event ids, declared by each processor that records events. */
export const seenIds = ttlStore<1>('seen');

const DUPLICATE: Outcome = { kind: 'drop', reason: 'duplicate' };

/** Deduplicates, emits to `event.recorded`, and counts per tenant and minute of event time. */
export function createRecordEventStep(context: TaskContext) {
  const seen = new Deduplicator(context.store(seenIds), DEDUP_TTL_MS);
  const counts = new WindowCombiner(WINDOW_MS);
  return {
    /** @param now the record's timestamp, ms: what the TTL of ids goes by. */
    recordEvent(what: string, validated: Validated, now: number): Outcome {
      if ('reasons' in validated) return invalid(what, validated.reasons, validated.tenant);
      const { event } = validated;
      if (seen.isDuplicate(event.event_id, now)) return DUPLICATE;
      context.emit('event.recorded', `${event.tenant_id}:${event.entity_id}`, event);
      counts.add(event.tenant_id, event.occurred_at);
      return OK;
    },
    /** Emits what was counted, one record per tenant and window, for the task that owns the tenant. */
    endEpoch(): void {
      seen.evict();
      for (const { key, windowStart, delta } of counts.take()) {
        const value = { tenant_id: key, window_start: windowStart, delta };
        context.emit('metric.tenant.count.delta', key, value);
      }
    },
  };
}
