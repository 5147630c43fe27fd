import type { EnrichmentAnswered } from '../../../schemas/types.ts';
import type { EnrichmentConfig } from '../config.ts';
import type { ProviderKind } from '../providers/provider.ts';
import type { Asking, EnrichContext, Told } from './context.ts';

/**
 * Answers from the journal alone, for a replay: nobody is called, now or later. What the journal does not have failed, and
 * says so.
 */
export function createReading(
  { company, person, verification }: EnrichmentConfig,
  _context: EnrichContext,
  tell: (told: Told) => void,
): Asking {
  const urls: Readonly<Record<ProviderKind, string | undefined>> = {
    company: company.url,
    person: person.url,
    verification: verification.url,
  };
  let journal: EnrichmentAnswered | undefined;

  function ask(id: string, kind: ProviderKind, subject: string): void {
    const entry = journal?.answers.find(
      (answer) => answer.provider === kind && answer.subject === subject,
    );
    const common = { id, kind, subject, cached: true, stale: false, durationMs: 0 };
    if (entry === undefined) {
      tell({ ...common, fact: undefined, failure: 'the journal has no answer' });
      return;
    }
    const { fields, answered_at: at } = entry;
    const outcome = entry.outcome === 'found' ? 'found' : 'not_found';
    tell({ ...common, fact: { outcome, fields, at }, failure: undefined });
  }

  return {
    asks: (kind) => urls[kind] !== undefined,
    ask,
    refresh: () => undefined,
    isOld: () => false,
    later: () => undefined,
    due: () => undefined,
    forget: () => undefined,
    start: () => undefined,
    read: (of) => {
      journal = of;
    },
  };
}
