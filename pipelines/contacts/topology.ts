import { defineTopology } from '../../runtime/topology/builder.ts';
import { companies } from './steps/companies.ts';
import { createEnrichStep, known } from './steps/enrich.ts';
import { judgeChange, readContactChange } from './steps/read-change.ts';

const DEDUP_TTL_MS = 24 * 3_600_000;

/** Change events of the contacts table → the current state of each contact, enriched with its company. */
export const contactsPipeline = defineTopology('contacts', (t) => {
  t.stream('cdc.public.contacts', { name: 'golden' })
    .step('read-change', readContactChange)
    .dedup('seen', { id: ({ eventId }) => eventId, ttlMs: DEDUP_TTL_MS })
    .step('validate', judgeChange)
    .process('enrich', { stores: [known], tables: [companies], create: createEnrichStep })
    .to('contact.golden');
});
