import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { ProblemError } from '../../runtime/http/problem.ts';

/** A body over the limit is read on, unkept, up to this multiple: a sender that is cut off sees no answer. */
const DRAIN_FACTOR = 2;

export interface BodyLimits {
  readonly bodyLimitBytes: number;
  readonly maxBufferedBytes: number;
  readonly retryAfterSeconds: number;
}

/** Reads request bodies into memory within one budget for all of them. */
export interface BodyReader {
  /**
   * The whole body. Its bytes count against the budget until `release`.
   * @throws ProblemError 413 BODY_TOO_LARGE, 503 OVERLOADED; what the stream fails with when the sender aborts.
   */
  read(headers: IncomingHttpHeaders, payload: Readable): Promise<Buffer>;
  /** Counts what was made of a body against the budget, until `release`. @throws ProblemError 503 OVERLOADED. */
  hold(body: Buffer): void;
  /** Give back what `read` returned or `hold` took, once it is no longer needed. */
  release(body: Buffer): void;
}

export function createBodyReader(limits: BodyLimits): BodyReader {
  let buffered = 0;

  const tooLarge = (): ProblemError =>
    new ProblemError(`the body is larger than ${limits.bodyLimitBytes} bytes`, {
      status: 413,
      code: 'BODY_TOO_LARGE',
      hint: 'Send less per request, or a reference to the data instead of the data.',
      extensions: { limit_bytes: limits.bodyLimitBytes },
    });
  const overloaded = (): ProblemError =>
    new ProblemError('too many request bodies are in memory', {
      status: 503,
      code: 'OVERLOADED',
      hint: 'Send the same delivery again after the time in Retry-After.',
      retryAfterSeconds: limits.retryAfterSeconds,
    });

  return {
    async read(headers, payload) {
      const drainLimit = limits.bodyLimitBytes * DRAIN_FACTOR;
      if (Number(headers['content-length'] ?? 0) > drainLimit) throw tooLarge();
      const chunks: Buffer[] = [];
      let received = 0;
      let held = 0;
      let isRead = false;
      try {
        // Not destroyed on return: the answer goes out over the same socket.
        for await (const chunk of payload.iterator({ destroyOnReturn: false })) {
          const part = chunk as Buffer;
          received += part.length;
          if (received > drainLimit) throw tooLarge();
          if (received > limits.bodyLimitBytes) continue;
          if (buffered + part.length > limits.maxBufferedBytes) throw overloaded();
          buffered += part.length;
          held += part.length;
          chunks.push(part);
        }
        if (received > limits.bodyLimitBytes) throw tooLarge();
        isRead = true;
        return Buffer.concat(chunks, received);
      } finally {
        if (!isRead) buffered -= held;
      }
    },
    hold(body) {
      if (buffered + body.length > limits.maxBufferedBytes) throw overloaded();
      buffered += body.length;
    },
    release(body) {
      buffered -= body.length;
    },
  };
}
