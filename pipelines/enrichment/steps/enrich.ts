import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { Processor } from '../../../runtime/operators/process-api.ts';
import { drop } from '../../../runtime/topology/outcome.ts';
import type { EnrichmentAnswered, EnrichmentRequested } from '../../../schemas/types.ts';
import { type ProviderKind, providerKinds } from '../providers/provider.ts';
import type { EnrichContext, MakeAsking, Told } from './context.ts';
import { type Asked, contacts, factOf, type KnownContact, withFact } from './known.ts';
import { contentOf, digestOf } from './record.ts';
import { subjectFor } from './subjects.ts';

/** A request, and where a replay reads it, the journal of its contact. */
export interface Request {
  readonly request: EnrichmentRequested | null;
  readonly journal: EnrichmentAnswered | undefined;
}

const NEW: KnownContact = {
  own: null,
  revision: '-1',
  asked: {},
  journal: [],
  version: '-1',
  digest: '',
};

/**
 * Enriches the contacts of one task: asks what is not known of each, waits for nobody but its own answers, and emits a
 * contact once they are there, and again whenever what is known of it changes.
 */
class Enricher implements Processor<Request> {
  readonly #context: EnrichContext;
  readonly #store;
  readonly #asking;

  constructor(context: EnrichContext, makeAsking: MakeAsking) {
    this.#context = context;
    this.#store = context.store(contacts);
    this.#asking = makeAsking(context, (told) => this.#tell(told));
  }

  process(
    { request, journal }: Request,
    { key, source }: Parameters<Processor<Request>['process']>[1],
  ) {
    const before = this.#store.get(key) ?? NEW;
    const header = source.record.headers[VERSION_HEADER]?.toString('utf8');
    const revision = request?.revision ?? BigInt(header ?? before.revision);
    const isKnown = before.own !== null;
    if (revision < BigInt(before.revision)) return drop('superseded');
    if (request === null) {
      if (!isKnown) return drop('deleted before it was requested');
      this.#remove(key, before, revision);
      return undefined;
    }
    if (!isKnown && revision === BigInt(before.revision)) return drop('superseded');
    this.#asking.read(journal);
    this.#follow(request, before);
    return undefined;
  }

  onStart(): void {
    this.#asking.start();
  }

  onTimer(key: string): void {
    const due = this.#asking.due(key);
    if (due === undefined) return;
    const { id, kind } = due;
    const known = this.#store.get(id);
    const asked = known?.asked[kind];
    if (known === undefined || asked?.failure === undefined) return;
    const again = { ...asked, again: (asked.again ?? 0) + 1 };
    this.#store.set(id, { ...known, asked: { ...known.asked, [kind]: again } });
    this.#asking.refresh(id, kind, asked.subject);
  }

  /** By the newest request: what was asked before is not asked again, unless it failed or its answer is too old. */
  #follow({ revision: version, ...own }: EnrichmentRequested, before: KnownContact): void {
    const asking = this.#asking;
    const id = own.contact_id;
    const revision = String(version);
    const isNewer = before.revision !== revision;
    const asked: Partial<Record<ProviderKind, Asked>> = {};
    const work: (() => void)[] = [];
    for (const kind of providerKinds) {
      const subject = asking.asks(kind) ? subjectFor(kind, own) : null;
      const earlier = before.asked[kind];
      if (earlier !== undefined && earlier.subject !== subject)
        asking.forget(id, kind, earlier, false);
      if (subject === null) continue;
      if (earlier?.subject !== subject) {
        asked[kind] = { subject, awaited: true };
        work.push(() => asking.ask(id, kind, subject));
        continue;
      }
      const fact = factOf(before, kind);
      const isDue =
        earlier.failure !== undefined || (fact !== undefined && asking.isOld(kind, fact));
      asked[kind] = earlier;
      if (!isNewer || !isDue) continue;
      asked[kind] = { ...earlier, again: 0 };
      work.push(() => asking.refresh(id, kind, subject));
    }
    this.#store.set(id, { ...before, own, revision, asked });
    for (const ask of work) ask();
    this.#emitWhenReady(id);
  }

  /** What became of asking; of no interest when the contact has another subject by now. */
  #tell({ id, kind, subject, fact, failure, cached, durationMs, stale }: Told): void {
    const before = this.#store.get(id) ?? NEW;
    const asked = before.asked[kind];
    if (before.own === null || asked?.subject !== subject) return;
    const { tenant_id } = before.own;
    this.#context.forwardTo('completed', id, {
      ...{ tenant_id, contact_id: id, provider: kind, outcome: fact?.outcome ?? 'failed', cached },
      ...{ duration_ms: durationMs, completed_at: this.#context.now() },
    });
    const { again = 0 } = asked;
    const now: Asked = {
      subject,
      ...(stale || (fact === undefined && asked.stale === true) ? { stale: true } : {}),
      ...(failure === undefined ? {} : { failure, again }),
    };
    const told = { ...before, asked: { ...before.asked, [kind]: now } };
    const known = fact === undefined ? told : withFact(told, { provider: kind, subject, ...fact });
    this.#store.set(id, known);
    if (known !== told) this.#writeJournal(id, tenant_id, known);
    if (failure !== undefined) this.#asking.later(id, kind, again);
    this.#emitWhenReady(id);
  }

  #writeJournal(id: string, tenant_id: string, { journal }: KnownContact): void {
    this.#context.forwardTo('answered', id, {
      tenant_id,
      contact_id: id,
      answers: journal.map(({ at, ...answer }) => ({ ...answer, answered_at: at })),
    });
  }

  /** Once nothing is awaited, and where it is not what was emitted last. */
  #emitWhenReady(id: string): void {
    const known = this.#store.get(id) ?? NEW;
    if (known.own === null) return;
    if (Object.values(known.asked).some(({ awaited }) => awaited === true)) return;
    const content = contentOf(id, known.own, known);
    const digest = digestOf(content);
    if (digest === known.digest) return;
    const version = nextVersion(content.revision, known);
    this.#store.set(id, { ...known, digest, version: String(version) });
    this.#context.forward(id, { ...content, enriched_at: this.#context.now(), version });
  }

  #remove(id: string, before: KnownContact, revision: bigint): void {
    for (const kind of providerKinds) {
      const asked = before.asked[kind];
      if (asked !== undefined) this.#asking.forget(id, kind, asked, true);
    }
    const version = String(nextVersion(revision, before));
    this.#store.set(id, { ...NEW, revision: String(revision), version });
    if (before.journal.length > 0) this.#context.forwardTo('answered', id, null);
    // One that was never emitted is in no store.
    if (before.digest === '') return;
    this.#context.forward(id, null, { headers: { [VERSION_HEADER]: version } });
  }
}

/** The contact's, or one more than before where that is not newer. */
function nextVersion(revision: bigint, { version }: KnownContact): bigint {
  const atLeast = BigInt(version) + 1n;
  return revision > atLeast ? revision : atLeast;
}

/** @param makeAsking asks providers (`createAsking`) or the journal (`createReading`). */
export function createEnrichStep(makeAsking: MakeAsking) {
  return function createEnrich(context: EnrichContext): Processor<Request> {
    return new Enricher(context, makeAsking);
  };
}
