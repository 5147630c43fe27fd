import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

/** A paged API on a free loopback port, which can fail in the ways that APIs do. Tests only. */
export interface SourceServer {
  readonly url: string;
  /** What it has, in order. */
  readonly items: { readonly id: string; readonly text: string }[];
  /** Paths with queries of all requests. */
  readonly requests: string[];
  /** Answered before anything else, one a request. */
  readonly faults: Fault[];
  /** Answers of 304 so far. */
  notModified: number;
  /** ms before each answer. */
  pauseMs: number;
  /** Adds so many. @returns their ids. */
  add(count: number): string[];
  close(): Promise<void>;
}

export type Fault =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | 'cut'
  | 'hang';

const PAGE = 10;

/** Routes: /cursor, /link, /page, /offset, /all (with an ETag), /csv (by pages), each of the same items. */
export async function startSourceServer(): Promise<SourceServer> {
  const items: { id: string; text: string }[] = [];
  const requests: string[] = [];
  const faults: Fault[] = [];
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  const self = {
    url: '',
    items,
    requests,
    faults,
    notModified: 0,
    pauseMs: 0,
    add(count: number) {
      const first = items.length;
      for (let i = first; i < first + count; i += 1)
        items.push({ id: `item-${i}`, text: `text ${i}` });
      return items.slice(first).map(({ id }) => id);
    },
    async close() {
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request.url ?? '');
    const fault = faults.shift();
    if (fault === 'hang') return;
    if (fault === 'cut') return void request.socket.destroy();
    if (self.pauseMs > 0) await delay(self.pauseMs);
    if (fault !== undefined)
      return void response.writeHead(fault.status, fault.headers).end(fault.body);
    const url = new URL(request.url ?? '', self.url);
    const [status, headers, body] = route(items, url, request);
    if (status === 304) self.notModified += 1;
    const zipped = request.headers['accept-encoding']?.includes('gzip') === true;
    response.writeHead(status, { ...headers, ...(zipped ? { 'content-encoding': 'gzip' } : {}) });
    response.end(zipped ? gzipSync(body) : body);
  };
  await once(server.listen(0, '127.0.0.1'), 'listening');
  self.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return self;
}

function route(
  items: SourceServer['items'],
  url: URL,
  request: IncomingMessage,
): [number, Record<string, string>, string] {
  const number = (name: string, or: number) => Number(url.searchParams.get(name) ?? or);
  const json = { 'content-type': 'application/json' };
  switch (url.pathname) {
    case '/cursor': {
      const from = number('cursor', 0);
      const data = items.slice(from, from + PAGE);
      const next = from + PAGE < items.length ? String(from + PAGE) : null;
      return [200, json, JSON.stringify({ data, next, has_more: next !== null })];
    }
    case '/link': {
      const from = number('from', 0);
      const link = `<${url.pathname}?from=${from + PAGE}>; rel="next"`;
      const headers = from + PAGE < items.length ? { ...json, link } : json;
      return [200, headers, JSON.stringify(items.slice(from, from + PAGE))];
    }
    case '/page': {
      const from = (number('page', 1) - 1) * PAGE;
      return [200, json, JSON.stringify(items.slice(from, from + PAGE))];
    }
    case '/offset': {
      const from = number('offset', 0);
      return [200, json, JSON.stringify(items.slice(from, from + number('limit', PAGE)))];
    }
    case '/csv': {
      const from = (number('page', 1) - 1) * PAGE;
      const rows = items.slice(from, from + PAGE).map(({ id, text }) => `${id},"${text}, quoted"`);
      return [200, { 'content-type': 'text/csv' }, ['id,text', ...rows].join('\n')];
    }
    case '/all': {
      const etag = `"${items.length}"`;
      if (request.headers['if-none-match'] === etag) return [304, { etag }, ''];
      return [200, { ...json, etag }, JSON.stringify(items)];
    }
    default:
      return [404, {}, ''];
  }
}
