import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import { type ProblemError, problemDocument } from '../runtime/http/problem.ts';
import type { SubscribedEvent } from './event.ts';
import type { Outlet } from './subscription.ts';

/** RFC 6455 and its registry: 1013 is "try again later". */
const CLOSE_TRY_LATER = 1013;
const CLOSE_POLICY = 1008;

/** A connection that stays open. */
export interface StreamOutlet extends Outlet {
  /** The position, for who gets no events for long. */
  beat(cursor: string): void;
}

export interface OutletOptions {
  readonly requestId: string;
  /** How long a client may take to read why its connection ends, ms; what it leaves unread is dropped then. */
  readonly closeTimeoutMs: number;
}

async function drained(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('drain', resolve).once('close', resolve);
  await promise;
  socket.off('drain', resolve).off('close', resolve);
}

function lastWords(problem: ProblemError, cursor: string, requestId: string): string {
  return JSON.stringify({ type: 'end', cursor, problem: problemDocument(problem, requestId) });
}

let framed: { readonly event: SubscribedEvent; readonly frame: Buffer } | undefined;

/** An event goes to its subscribers one after the other: the last frame is the one that is asked for again. */
function sseFrame(event: SubscribedEvent): Buffer {
  if (framed?.event === event) return framed.frame;
  const head = Buffer.from(`id: ${event.cursor}\ndata: `);
  const frame = Buffer.concat([head, event.json, Buffer.from('\n\n')]);
  framed = { event, frame };
  return frame;
}

/**
 * Server-Sent Events: each event with its cursor as id, so that a browser resumes by itself. A heartbeat is an id without
 * data, which moves Last-Event-ID and dispatches nothing.
 */
export function sseOutlet(
  response: ServerResponse,
  socket: Socket,
  { requestId, closeTimeoutMs }: OutletOptions,
): StreamOutlet {
  return {
    send(event) {
      response.write(sseFrame(event));
      return true;
    },
    get buffered() {
      return response.writableLength;
    },
    drained: () => drained(socket),
    caughtUp: () => undefined,
    beat: (cursor) => void response.write(`id: ${cursor}\n\n`),
    end(problem, cursor) {
      const data = lastWords(problem, cursor, requestId);
      response.end(`id: ${cursor}\nevent: end\ndata: ${data}\n\n`);
      const timer = setTimeout(() => socket.destroy(), closeTimeoutMs);
      socket.once('close', () => clearTimeout(timer));
    },
  };
}

/** WebSocket: one event a text frame; heartbeats and the end are frames with a `type`. */
export function webSocketOutlet(
  ws: WebSocket,
  socket: Socket,
  { requestId, closeTimeoutMs }: OutletOptions,
): StreamOutlet {
  return {
    send(event) {
      ws.send(event.json, { binary: false });
      return true;
    },
    get buffered() {
      return ws.bufferedAmount;
    },
    drained: () => drained(socket),
    caughtUp: () => undefined,
    beat: (cursor) => ws.send(`{"type":"heartbeat","cursor":"${cursor}"}`),
    end(problem, cursor) {
      ws.send(lastWords(problem, cursor, requestId));
      ws.close(problem.retry === 'backoff' ? CLOSE_TRY_LATER : CLOSE_POLICY, problem.code);
      const timer = setTimeout(() => ws.terminate(), closeTimeoutMs);
      ws.once('close', () => clearTimeout(timer));
    },
  };
}

export interface PollOutlet extends Outlet {
  /** Resolves when there are events and no more at the moment, or as many as wanted, or the end. */
  readonly done: Promise<void>;
  readonly events: readonly SubscribedEvent[];
  readonly problem: ProblemError | undefined;
}

/** Long poll: collects what there is. @param max events; @param maxBytes of their documents, one event more at most. */
export function pollOutlet(max: number, maxBytes: number): PollOutlet {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const events: SubscribedEvent[] = [];
  let problem: ProblemError | undefined;
  let bytes = 0;
  let isLive = false;
  return {
    done,
    events,
    get problem() {
      return problem;
    },
    send(event) {
      if (events.length >= max || bytes >= maxBytes) {
        resolve();
        return false;
      }
      events.push(event);
      bytes += event.json.length;
      // At the end of the topic: with what else came in the same batch.
      if (isLive) setImmediate(resolve);
      return true;
    },
    buffered: 0,
    drained: async () => undefined,
    caughtUp() {
      isLive = true;
      if (events.length > 0) resolve();
    },
    end(reason) {
      problem = reason;
      resolve();
    },
  };
}
