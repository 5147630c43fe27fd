import { createHash } from 'node:crypto';
import type { EnrichmentConfig } from '../config.ts';
import type { ProviderClient, Reply } from '../providers/client.ts';
import type { ProviderKind } from '../providers/provider.ts';
import type { Asking, EnrichContext, Told } from './context.ts';
import { answers, type Fact, pending } from './known.ts';

/** Providers of a process. */
export type Clients = Readonly<Partial<Record<ProviderKind, ProviderClient>>>;

/** Contacts that an answer is told to at once; the others get it in the next epochs. */
const MAX_TOLD = 1_000;

/** A key of bounded length: subjects may be longer than keys may be. */
function questionOf(kind: ProviderKind, subject: string): string {
  return `${kind}/${createHash('sha256').update(subject).digest('base64url')}/`;
}

/** Asks providers, in the background, what neither the contact nor the cache of its task has. */
export function createAsking(
  clients: Clients,
  config: EnrichmentConfig,
  context: EnrichContext,
  tell: (told: Told) => void,
): Asking {
  const cache = context.store(answers);
  const waiting = context.store(pending);
  const { timers, calls } = context;

  const ageOf = ({ at }: Fact) => Math.max(0, context.now() - at);
  const timerOf = (kind: ProviderKind, id: string) => `again/${kind}/${id}`;

  function call(kind: ProviderKind, subject: string): void {
    const client = clients[kind];
    const question = questionOf(kind, subject);
    if (client === undefined) return;
    calls.start(
      question,
      () => client.ask(subject),
      (reply) => answered(kind, subject, reply),
    );
  }

  function answered(kind: ProviderKind, subject: string, reply: Reply): void {
    const { answer, durationMs, shared } = reply;
    const at = context.now() - reply.ageMs;
    if (answer.outcome === 'failed') {
      tellAll(kind, subject, { failure: answer.reason, fact: undefined, shared, durationMs });
      return;
    }
    const { outcome } = answer;
    const fact: Fact = { outcome, fields: outcome === 'found' ? answer.fields : {}, at };
    cache.set(questionOf(kind, subject), fact, context.now());
    tellAll(kind, subject, { fact, failure: undefined, shared, durationMs });
  }

  /** The first of those who wait was called for, the others share it. */
  function tellAll(
    kind: ProviderKind,
    subject: string,
    {
      shared,
      durationMs,
      ...result
    }: Pick<Told, 'fact' | 'failure' | 'durationMs'> & Pick<Reply, 'shared'>,
  ): void {
    const question = questionOf(kind, subject);
    let told = 0;
    for (const [key] of waiting.prefix(question)) {
      if (told === MAX_TOLD) {
        timers.schedule('wall', `more/${key}`, context.now());
        return;
      }
      const cached = shared || told > 0;
      told += 1;
      waiting.delete(key);
      const id = key.slice(question.length);
      const duration = { cached, stale: false, durationMs: cached ? 0 : durationMs };
      tell({ id, kind, subject, ...result, ...duration });
    }
  }

  function wait(id: string, kind: ProviderKind, subject: string): void {
    waiting.set(`${questionOf(kind, subject)}${id}`, subject);
    call(kind, subject);
  }

  return {
    asks: (kind) => clients[kind] !== undefined,
    isOld: (kind, fact) => ageOf(fact) >= config[kind].ttlMs,
    ask(id, kind, subject) {
      timers.cancel('wall', timerOf(kind, id));
      const { ttlMs, staleMs } = config[kind];
      const fact = cache.get(questionOf(kind, subject), context.now());
      const age = fact === undefined ? Number.POSITIVE_INFINITY : ageOf(fact);
      if (fact === undefined || age >= ttlMs + staleMs) {
        wait(id, kind, subject);
        return;
      }
      const stale = age >= ttlMs;
      tell({ id, kind, subject, fact, failure: undefined, cached: true, stale, durationMs: 0 });
      if (stale) wait(id, kind, subject);
    },
    refresh: wait,
    later(id, kind, again) {
      const { times, afterMs, maxAfterMs } = config.askAgain;
      if (again >= times) return;
      const after = Math.min(maxAfterMs, afterMs * 4 ** again);
      timers.schedule('wall', timerOf(kind, id), context.now() + after);
    },
    due(timer) {
      const [what, kind, ...rest] = timer.split('/') as [string, ProviderKind, ...string[]];
      if (what === 'again') return { kind, id: rest.join('/') };
      const key = timer.slice('more/'.length);
      const subject = waiting.get(key);
      // The shared answer of just now, or one more attempt.
      if (subject !== undefined) call(kind, subject);
      return undefined;
    },
    forget(id, kind, { subject }, isDeleted) {
      waiting.delete(`${questionOf(kind, subject)}${id}`);
      timers.cancel('wall', timerOf(kind, id));
      if (isDeleted && kind !== 'company') cache.delete(questionOf(kind, subject));
    },
    start() {
      for (const [key, subject] of waiting.range())
        call(key.slice(0, key.indexOf('/')) as ProviderKind, subject);
    },
    read: () => undefined,
  };
}
