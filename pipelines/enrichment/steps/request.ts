import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { ProcessContext, Processor } from '../../../runtime/operators/process-api.ts';
import { keyValueStore, textSerde } from '../../../runtime/state/contract.ts';
import { drop } from '../../../runtime/topology/outcome.ts';
import type { Contact, ContactUnified, EnrichmentRequested } from '../../../schemas/types.ts';
import { subjectsOf } from './subjects.ts';

/** What of a contact was last requested, as JSON: a revision that changes nothing of it asks nothing. */
export const requested = keyValueStore<string>('requested', textSerde);

type Source = EnrichmentRequested['source'];

/**
 * Makes a request of each revision of a contact that matters to its enrichment: another address, another company, or other
 * facts of that company. The company's are those of the companies table, which the contact was joined to: it comes again
 * when they change.
 */
export function createRequestStep(source: Source, freeMailDomains: readonly string[]) {
  const free = new Set(freeMailDomains);
  const isFree = (domain: string) => free.has(domain);
  return function createRequest(
    context: ProcessContext<EnrichmentRequested | null, Record<never, never>>,
  ): Processor<Contact | ContactUnified | null> {
    const store = context.store(requested);
    return {
      process(contact, { key, source: { record } }) {
        const before = store.get(key);
        if (contact === null) {
          if (before === undefined) return drop('deleted before it was requested');
          store.delete(key);
          const version = record.headers[VERSION_HEADER]?.toString('utf8');
          const headers = version === undefined ? {} : { [VERSION_HEADER]: version };
          context.forward(key, null, { headers });
          return undefined;
        }
        const facts = factsOf(contact, isFree);
        const now = JSON.stringify(facts);
        if (now === before) return drop('nothing that matters has changed');
        store.set(key, now);
        context.forward(key, {
          ...facts,
          contact_id: key,
          revision: contact.version,
          source,
          requested_at: record.timestamp,
        });
        return undefined;
      },
    };
  };
}

function factsOf(contact: Contact | ContactUnified, isFree: (domain: string) => boolean) {
  return {
    tenant_id: contact.tenant_id,
    ...subjectsOf(contact, isFree),
    company: contact.company,
    company_domain: contact.company_domain,
    industry: 'industry' in contact ? contact.industry : null,
  };
}
