import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { ProblemError } from '../../runtime/http/problem.ts';
import { requestAborted } from './http-problems.ts';

/** A body over the limit is read on, unkept, up to this multiple: a sender that is cut off sees no answer. */
const DRAIN_FACTOR = 2;

export interface BodyLimits {
  readonly bodyLimitBytes: number;
  readonly maxBufferedBytes: number;
  readonly retryAfterSeconds: number;
}

/** Called once: with what the request failed with, or with its body. */
export type BodyCallback = (error: Error | null, body?: Buffer) => void;

/** Reads request bodies into memory within one budget for all of them. */
export interface BodyReader {
  /**
   * Reads the whole body. Its bytes count against the budget until `release`. With a callback and events: an iterator of
   * the stream and its promises would be a tenth of a request's cost.
   * @param done gets a ProblemError 413 BODY_TOO_LARGE or 503 OVERLOADED, what the stream fails with when the sender
   *   aborts, or the body.
   */
  read(headers: IncomingHttpHeaders, payload: Readable, done: BodyCallback): void;
  /** Counts what was made of a body against the budget, until `release`. @throws ProblemError 503 OVERLOADED. */
  hold(body: Buffer): void;
  /** Give back what `read` came to or `hold` took, once it is no longer needed. */
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
    read(headers, payload, done) {
      const drainLimit = limits.bodyLimitBytes * DRAIN_FACTOR;
      if (Number(headers['content-length'] ?? 0) > drainLimit) return done(tooLarge());
      const chunks: Buffer[] = [];
      let received = 0;
      let held = 0;
      let isOver = false;
      const fail = (error: Error): void => {
        if (isOver) return;
        isOver = true;
        buffered -= held;
        // Not destroyed: the answer goes out over the same socket.
        payload.pause();
        done(error);
      };
      payload.on('data', (part: Buffer) => {
        if (isOver) return;
        received += part.length;
        if (received > drainLimit) return fail(tooLarge());
        if (received > limits.bodyLimitBytes) return;
        if (buffered + part.length > limits.maxBufferedBytes) return fail(overloaded());
        buffered += part.length;
        held += part.length;
        chunks.push(part);
      });
      payload.on('end', () => {
        if (isOver) return;
        if (received > limits.bodyLimitBytes) return fail(tooLarge());
        isOver = true;
        const [only] = chunks;
        done(null, chunks.length === 1 ? only : Buffer.concat(chunks, received));
      });
      payload.on('error', fail);
      // Of a stream that is destroyed without any of these.
      payload.on('close', () => {
        if (!isOver) fail(requestAborted());
      });
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
