import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ConsoleConfig } from '../config.ts';
import { tooMany } from '../problems.ts';

/** A browser that is kept up to date. */
export interface EventStream {
  /** Sends an event; one who has left too much unread is disconnected, and comes back by itself. */
  send(event: string, json: string): void;
  /** Called once when it is gone. */
  onClose(done: () => void): void;
}

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies must not collect events before they pass them on.
  'x-accel-buffering': 'no',
  // The end of the stream is the end of the connection.
  connection: 'close',
};
const HEARTBEAT_MS = 10_000;

/** Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html), so many at one time. */
export class EventStreams {
  readonly #config: Pick<ConsoleConfig, 'maxStreams' | 'clientBufferBytes'>;
  readonly #open = new Set<FastifyReply['raw']>();

  constructor(config: Pick<ConsoleConfig, 'maxStreams' | 'clientBufferBytes'>) {
    this.#config = config;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Begins one as the answer to a request. @throws ProblemError 503 where there are as many as may be. */
  begin(request: FastifyRequest, reply: FastifyReply): EventStream {
    if (this.#open.size >= this.#config.maxStreams) throw tooMany('pages');
    reply.hijack();
    const response = reply.raw;
    this.#open.add(response);
    response.on('error', () => undefined);
    response.writeHead(200, { ...HEADERS, ...stringHeaders(reply), 'x-request-id': request.id });
    // What leaves the buffers shows who reads no more, also where nothing else is sent.
    const beat = setInterval(() => write(': \n\n'), HEARTBEAT_MS);
    const write = (text: string) => {
      if (response.destroyed) return;
      response.write(text);
      if (response.writableLength > this.#config.clientBufferBytes) response.destroy();
    };
    response.once('close', () => {
      clearInterval(beat);
      this.#open.delete(response);
    });
    return {
      send: (event, json) => write(`event: ${event}\ndata: ${json}\n\n`),
      onClose: (done) => {
        if (response.destroyed) done();
        else response.once('close', done);
      },
    };
  }

  /** Ends all of them. */
  close(): void {
    for (const response of this.#open) response.destroy();
  }
}

/** What hooks have set so far: a hijacked answer gets none of it by itself. */
function stringHeaders(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
  );
}
