import { ReachflowError, type RetryHint } from '../../../runtime/errors.ts';

/** What is asked for, and by what: company by domain, person by e-mail address, verification of an e-mail address. */
export const providerKinds = ['company', 'person', 'verification'] as const;
export type ProviderKind = (typeof providerKinds)[number];

/** What a provider says of a subject. Fields are those of `contact.enriched` that it can fill, as text. */
export type Answer =
  | { readonly outcome: 'found'; readonly fields: Readonly<Record<string, string>> }
  | { readonly outcome: 'not_found' }
  | {
      readonly outcome: 'failed';
      /** One line for people, the same whenever the same is wrong. */
      readonly reason: string;
    };

/** A source of facts about many subjects at once. */
export interface Provider {
  readonly kind: ProviderKind;
  /**
   * Asks about distinct subjects, `batchSize` at most; the caller limits, retries and breaks.
   * @returns an answer for each subject; one that is missing failed.
   * @throws ProviderError when nothing is known of any of them.
   */
  ask(subjects: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Answer>>;
}

interface ProviderErrorOptions {
  readonly code:
    | 'PROVIDER_UNAVAILABLE'
    | 'PROVIDER_TIMEOUT'
    | 'PROVIDER_RATE_LIMITED'
    | 'PROVIDER_REFUSES'
    | 'PROVIDER_GARBAGE'
    | 'PROVIDER_LEFT_ALONE';
  readonly retry: RetryHint;
  /** What the provider asks to wait, ms. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** A whole request that failed. */
export class ProviderError extends ReachflowError {
  readonly retryAfterMs: number | undefined;

  constructor(message: string, { code, retry, retryAfterMs, cause }: ProviderErrorOptions) {
    const isOurs = code === 'PROVIDER_REFUSES';
    super(message, {
      code,
      domain: isOurs ? 'user' : 'external',
      retry,
      cause,
      ...(isOurs ? { hint: 'Check url and key of the provider in the section enrichment.' } : {}),
    });
    this.name = 'ProviderError';
    this.retryAfterMs = retryAfterMs;
  }
}
