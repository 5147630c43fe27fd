import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorCode, errorMessage } from '../../runtime/errors.ts';
import {
  PROBLEM_JSON,
  ProblemError,
  problemDocument,
  problemOf,
  replyProblem,
} from '../../runtime/http/problem.ts';

/** Printable, short and without what could break a log line: a sender's own id of its request. */
const REQUEST_ID = /^[A-Za-z0-9._:@/+=-]{1,128}$/;

/** The sender's `x-request-id` if it is usable, or a new one. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** The sender went away before the end of the body. */
export function requestAborted(cause?: unknown): ProblemError {
  return new ProblemError('the sender closed the connection before the end of the body', {
    status: 400,
    code: 'REQUEST_ABORTED',
    hint: 'Send the delivery again.',
    cause,
  });
}

const REQUEST_HINT = 'Send a well-formed HTTP request with content-type: application/json.';

/** As `problemOf`, with codes of its own for a media type and for a body that ends too early. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if ((error as { statusCode?: unknown } | null)?.statusCode === 415) {
    return new ProblemError(errorMessage(error), {
      ...{ status: 415, code: 'MEDIA_TYPE_INVALID', hint: REQUEST_HINT, cause: error },
    });
  }
  if (errorCode(error) === 'ECONNRESET') {
    return requestAborted(error);
  }
  return problemOf(error, REQUEST_HINT);
}

/** Answers a request with a problem document, and logs why. */
export function sendProblem(
  logger: Logger,
  problem: ProblemError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const fields = {
    requestId: request.id,
    source: (request.params as { source?: string } | undefined)?.source,
    status: problem.status,
    code: problem.code,
  };
  if (problem.status >= 500) {
    logger.error({ ...fields, err: problem.cause ?? problem }, `webhook: ${problem.message}`);
  } else {
    logger.info(fields, `webhook refused: ${problem.message}`);
  }
  replyProblem(reply, problem, request.id);
}

/** Answers what never becomes a request of the framework. */
export interface RawProblems {
  /** For bytes that are not HTTP, too slow, or with too large a header: Node's `clientError`. */
  onClientError(error: Error, socket: Socket): void;
  /** For every request of the framework: it is not answered yet. */
  onRequest(request: IncomingMessage): void;
  /** It is answered now. */
  onResponse(request: IncomingMessage): void;
  /** For an Expect header that Node does not know: its `checkExpectation`. */
  onExpectation(request: IncomingMessage, response: ServerResponse): void;
}

const HINT = 'Send a well-formed HTTP/1.1 request, all of it within the time limit.';

function clientProblem(error: Error): ProblemError {
  const code = errorCode(error);
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ProblemError('the request did not arrive in time', {
      status: 408,
      code: 'REQUEST_TIMEOUT',
      hint: HINT,
    });
  }
  return code === 'HPE_HEADER_OVERFLOW'
    ? new ProblemError('the headers are too large', {
        status: 431,
        code: 'HEADERS_TOO_LARGE',
        hint: HINT,
      })
    : new ProblemError('this is not a well-formed HTTP request', {
        status: 400,
        code: 'REQUEST_INVALID',
        hint: HINT,
      });
}

export function createRawProblems(): RawProblems {
  const unanswered = new WeakMap<Socket, Set<IncomingMessage>>();
  return {
    onClientError(error, socket) {
      if (errorCode(error) === 'ECONNRESET' || socket.destroyed || !socket.writable) return;
      // An earlier request of the connection was received whole: its sender would take this answer for that request's,
      // and give up an event that may be stored. Without an answer it sends it again.
      for (const request of unanswered.get(socket) ?? []) {
        if (request.complete) {
          socket.destroy();
          return;
        }
      }
      const problem = clientProblem(error);
      socket.end(rawAnswer(problem));
    },
    onRequest(request) {
      const { socket } = request;
      const requests = unanswered.get(socket);
      if (requests === undefined) unanswered.set(socket, new Set([request]));
      else requests.add(request);
    },
    onResponse(request) {
      unanswered.get(request.socket)?.delete(request);
    },
    onExpectation(request, response) {
      const problem = new ProblemError('the expectation of the request cannot be met', {
        status: 417,
        code: 'EXPECTATION_FAILED',
        hint: 'Send no Expect header, or Expect: 100-continue.',
      });
      const id = requestIdOf(request);
      response.writeHead(417, {
        'content-type': PROBLEM_JSON,
        'x-request-id': id,
        connection: 'close',
      });
      response.end(JSON.stringify(problemDocument(problem, id)));
    },
  };
}

function rawAnswer(problem: ProblemError): string {
  const id = randomUUID();
  const document = problemDocument(problem, id);
  const body = JSON.stringify(document);
  return (
    `HTTP/1.1 ${problem.status} ${String(document['title'])}\r\ncontent-type: ${PROBLEM_JSON}\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${id}\r\nconnection: close\r\n\r\n${body}`
  );
}
