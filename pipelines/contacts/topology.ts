import { Deduplicator, ttlStore } from '../../runtime/operators/ttl-map.ts';
import { invalid } from '../../runtime/operators/validation.ts';
import { defineProcessor, OK, type PipelineSpec } from '../../runtime/task/processor.ts';
import { readEnvelope } from '../../schemas/envelope.ts';
import { companies } from './steps/companies.ts';
import { createEnrichStep, known } from './steps/enrich.ts';
import { validateContact } from './steps/validate.ts';

const DEDUP_TTL_MS = 24 * 3_600_000;
const seenIds = ttlStore<1>('seen');

/** Change events of the contacts table → the current state of each contact, enriched with its company. */
const golden = defineProcessor<'cdc.public.contacts'>({
  name: 'golden',
  input: 'cdc.public.contacts',
  outputs: ['contact.golden'],
  stores: [seenIds, known],
  tables: [companies],
  create(context) {
    const seen = new Deduplicator(context.store(seenIds), DEDUP_TTL_MS);
    const enrich = createEnrichStep(context);
    return {
      onStart: () => enrich.onStart(),
      onTableChange: (_topic, key) => enrich.companyChanged(key),
      endEpoch: () => seen.evict(),
      process({ value, timestamp }) {
        const change = readEnvelope(value);
        if (change === undefined) return { kind: 'drop', reason: 'no row change' };
        if (change.kind === 'refused') return { kind: 'dlq', error: change.error };
        const row = change.after ?? change.before;
        if (row === null) return { kind: 'drop', reason: 'no row' };
        const eventId = `${row.id}:${change.version}:${change.op}`;
        if (seen.isDuplicate(eventId, timestamp)) return { kind: 'drop', reason: 'duplicate' };
        if (change.after === null) {
          const removed = enrich.remove(String(row.id), change.version);
          return removed ? OK : { kind: 'drop', reason: 'deleted before it was valid' };
        }
        const validated = validateContact(change.after);
        if ('reasons' in validated) {
          return invalid(`contact ${row.id}`, validated.reasons, validated.tenant);
        }
        enrich.upsert(validated.contact, change.version);
        return OK;
      },
    };
  },
});

export const contactsPipeline: PipelineSpec = { name: 'contacts', processors: [golden] };
