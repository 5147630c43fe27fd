import { jsonSerde, keyValueStore, textSerde, ttlStore } from '../../../runtime/state/contract.ts';
import type { EnrichmentRequested } from '../../../schemas/types.ts';
import { MAX_CACHE_MS } from '../config.ts';
import type { ProviderKind } from '../providers/provider.ts';

/** An answer that counts: with what, and when. JSON. */
export interface Fact {
  readonly outcome: 'found' | 'not_found';
  readonly fields: Readonly<Record<string, string>>;
  /** ms since the epoch. */
  readonly at: number;
}

/** What a provider was asked about a contact; what it answered is in the contact's journal. */
export interface Asked {
  readonly subject: string;
  /** Whether the answer was too old when it was taken. */
  readonly stale?: true;
  /** Why it failed the last time. */
  readonly failure?: string;
  /** An answer is waited for: the contact goes on when there is one. A refresh behind an answer is no such. */
  readonly awaited?: true;
  /** How often it was asked again after a failure. */
  readonly again?: number;
}

/** Own facts of a contact. */
export type Own = Omit<EnrichmentRequested, 'revision'>;

export interface JournaledFact extends Fact {
  readonly provider: ProviderKind;
  readonly subject: string;
}

/** A contact in its task. Versions are decimal text: JSON has no bigint. */
export interface KnownContact {
  /** Null once deleted: versions are remembered, so that a contact created again outranks its deletion. */
  readonly own: Own | null;
  /** Of the newest request, or deletion. */
  readonly revision: string;
  readonly asked: Readonly<Partial<Record<ProviderKind, Asked>>>;
  /** Each subject's newest answer, oldest first, as in `enrichment.answered`. */
  readonly journal: readonly JournaledFact[];
  /** Of the last that was emitted. */
  readonly version: string;
  /** Of the last that was emitted, see `digestOf`; empty when none was. */
  readonly digest: string;
}

/** Answers of a contact in the journal: three providers, and addresses that it had before. */
const MAX_JOURNAL = 20;

/** Contacts by id. */
export const contacts = keyValueStore<KnownContact>('contacts', jsonSerde());

/** Answers by `<kind>/<hash of the subject>/`, for other contacts of the task. */
export const answers = ttlStore<Fact>('answers', { ttlMs: MAX_CACHE_MS, serde: jsonSerde() });

/** Contacts that wait for an answer, by `<kind>/<hash of the subject>/<contact id>`: the subject. */
export const pending = keyValueStore<string>('pending', textSerde);

/** What a provider has answered about the subject that the contact has now. */
export function factOf({ asked, journal }: KnownContact, kind: ProviderKind): Fact | undefined {
  const subject = asked[kind]?.subject;
  return journal.find((entry) => entry.provider === kind && entry.subject === subject);
}

/** With an answer in the journal; the same contact when it was there. What counts now is never pushed out of it. */
export function withFact(known: KnownContact, fact: JournaledFact): KnownContact {
  const isSame = ({ provider, subject }: JournaledFact) =>
    provider === fact.provider && subject === fact.subject;
  if (known.journal.find(isSame)?.at === fact.at) return known;
  const journal = [...known.journal.filter((entry) => !isSame(entry)), fact];
  const isPast = ({ provider, subject }: JournaledFact) =>
    known.asked[provider]?.subject !== subject;
  if (journal.length > MAX_JOURNAL) journal.splice(Math.max(0, journal.findIndex(isPast)), 1);
  return { ...known, journal };
}
