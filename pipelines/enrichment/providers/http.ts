import { errorCode } from '../../../runtime/errors.ts';
import { type Provider, ProviderError, type ProviderKind } from './provider.ts';
import { readAnswers, requestBody } from './shapes.ts';

interface HttpProviderOptions {
  readonly kind: ProviderKind;
  readonly url: string;
  /** Sent as a bearer token. */
  readonly key: string | undefined;
}

/** A hundred answers have some KB. */
const MAX_BODY_BYTES = 2_097_152;

/** Asks by HTTP; `shapes.ts` has the JSON. Redirects are not followed: the key is for the configured URL. */
export function httpProvider({ kind, url, key }: HttpProviderOptions): Provider {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  return {
    kind,
    async ask(subjects, signal) {
      const body = requestBody(kind, subjects);
      const response = await send(url, { method: 'POST', headers, body, signal });
      if (!response.ok) {
        await response.body?.cancel();
        throw refusal(response);
      }
      const answers = readAnswers(kind, subjects, await readJson(response));
      if (answers === undefined) throw garbage('it has no list of results');
      return answers;
    },
  };
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: 'manual' });
  } catch (error) {
    throw connectionError(error);
  }
}

/** Of fetch: the time-out's reason as it is, or a TypeError whose cause has the code. */
function connectionError(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new ProviderError('it did not answer in time', {
      ...{ code: 'PROVIDER_TIMEOUT', retry: 'backoff', cause: error },
    });
  const code = errorCode(error instanceof Error ? error.cause : error) ?? 'connection lost';
  return new ProviderError(`it cannot be reached: ${code}`, {
    ...{ code: 'PROVIDER_UNAVAILABLE', retry: 'backoff', cause: error },
  });
}

/** RFC 9110: 429 and 5xx may pass, others say that the request is wrong. */
function refusal({ status, headers }: Response): ProviderError {
  const retryAfterMs = readRetryAfter(headers.get('retry-after'), Date.now());
  const asked = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429)
    return new ProviderError('it answers 429: too many requests', {
      ...{ code: 'PROVIDER_RATE_LIMITED', retry: 'backoff', ...asked },
    });
  if (status >= 500 || status === 408)
    return new ProviderError(`it answers ${status}`, {
      ...{ code: 'PROVIDER_UNAVAILABLE', retry: 'backoff', ...asked },
    });
  return new ProviderError(`it answers ${status}`, { code: 'PROVIDER_REFUSES', retry: 'none' });
}

/** Retry-After, seconds or a date (RFC 9110, 10.2.3), as ms from `now`; undefined when it is neither. */
export function readRetryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  const ms = header.trim() !== '' && seconds >= 0 ? seconds * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

async function readJson(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MAX_BODY_BYTES) throw garbage(`it has more than ${MAX_BODY_BYTES} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw connectionError(error);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw garbage('it is no JSON', error);
  }
}

/** Asked again, it would say the same. */
function garbage(why: string, cause?: unknown): ProviderError {
  return new ProviderError(`its answer cannot be read: ${why}`, {
    ...{ code: 'PROVIDER_GARBAGE', retry: 'none', cause },
  });
}
