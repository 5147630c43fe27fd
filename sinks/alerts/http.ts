import { DELIVERED, type RecordResult } from '../../runtime/delivery/sink.ts';
import { errorCode, errorMessage } from '../../runtime/errors.ts';
import { away, refused } from './outcome.ts';

export interface AlertRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly timeoutMs: number;
}

/** Statuses that speak of what was sent. All others speak of the receiver, or of how it is configured here. */
const CONTENT_STATUSES: ReadonlySet<number> = new Set([400, 413, 422]);
/** As much of an answer is read as a person will. */
const QUOTED_BYTES = 1_024;

/**
 * Posts JSON once. What the answer says beyond its status is for people: nothing is made of it, so that no garbage
 * matters.
 */
export async function postAlert(channel: string, request: AlertRequest): Promise<RecordResult> {
  const { url, headers, body, timeoutMs } = request;
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'reachflow', ...headers },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { status } = response;
    // Its status is the answer: a body that is slow, endless or cut off changes nothing.
    const said = response.ok ? '' : await beginningOf(response);
    await response.body?.cancel().catch(() => undefined);
    return outcomeOf(channel, status, said);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    const code = errorCode(cause) ?? errorCode(error);
    const name = error instanceof Error ? error.name : '';
    const why =
      name === 'TimeoutError' ? `no answer within ${timeoutMs} ms` : (code ?? errorMessage(error));
    return away(channel, why, error);
  }
}

function outcomeOf(channel: string, status: number, said: string): RecordResult {
  if (status >= 200 && status < 300) return DELIVERED;
  const why = `status ${status}${said === '' ? '' : `: ${said}`}`;
  return CONTENT_STATUSES.has(status) ? refused(channel, why) : away(channel, why);
}

async function beginningOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const decoder = new TextDecoder();
  let text = '';
  try {
    while (text.length < QUOTED_BYTES) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
  } catch {
    // Cut off: the beginning will do.
  }
  reader.releaseLock();
  return text
    .slice(0, QUOTED_BYTES)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
}
