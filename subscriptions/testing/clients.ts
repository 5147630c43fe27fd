import { once } from 'node:events';
import { EventSource } from 'eventsource';
import { WebSocket } from 'ws';

/** Clients of subscriptions, by the libraries that others use. Tests only. */

/** What is said of an event, by any transport. */
export interface Received {
  readonly cursor: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: { readonly tenant_id: string; readonly delivery_id: string };
}

/** What a stream says at its end. */
export interface End {
  readonly cursor: string;
  readonly problem: { readonly code: string; readonly status: number };
}

export interface Client {
  readonly events: Received[];
  /** The newest cursor that it has heard of. */
  readonly cursor: string | undefined;
  readonly end: End | undefined;
  close(): void;
}

/** Query of a subscription. */
export interface Where {
  readonly start?: 'earliest' | 'latest';
  readonly cursor?: string;
}

function address(base: string, topic: string, where: Where): string {
  return `${base}/subscriptions/${topic}?${new URLSearchParams({ ...where })}`;
}

/** Server-Sent Events by `eventsource`, which reconnects with Last-Event-ID; open when this resolves. */
export async function sseClient(
  base: string,
  topic: string,
  token: string,
  where: Where = {},
): Promise<Client> {
  const events: Received[] = [];
  let cursor: string | undefined;
  let end: End | undefined;
  const source = new EventSource(address(base, topic, where), {
    fetch: (url, init) =>
      fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
  });
  source.addEventListener('message', (message: MessageEvent) => {
    events.push(JSON.parse(String(message.data)) as Received);
    cursor = message.lastEventId;
  });
  source.addEventListener('end', (message: MessageEvent) => {
    end = JSON.parse(String(message.data)) as End;
  });
  await new Promise((resolve, reject) => {
    source.addEventListener('open', resolve, { once: true });
    source.addEventListener('error', reject, { once: true });
  });
  return {
    events,
    get cursor() {
      return cursor;
    },
    get end() {
      return end;
    },
    close: () => source.close(),
  };
}

/** WebSocket by `ws`; open when this resolves. */
export async function webSocketClient(
  base: string,
  topic: string,
  token: string,
  where: Where = {},
): Promise<Client & { readonly socket: WebSocket }> {
  const events: Received[] = [];
  let cursor: string | undefined;
  let end: End | undefined;
  const socket = new WebSocket(address(base.replace('http', 'ws'), topic, where), {
    headers: { authorization: `Bearer ${token}` },
  });
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Received & End & { readonly type?: string };
    ({ cursor } = frame);
    if (frame.type === 'end') end = frame;
    else if (frame.type === undefined) events.push(frame);
  });
  await once(socket, 'open');
  return {
    socket,
    events,
    get cursor() {
      return cursor;
    },
    get end() {
      return end;
    },
    close: () => socket.terminate(),
  };
}

/** One long poll. @throws Error with the problem's code. */
export async function pollOnce(
  base: string,
  topic: string,
  token: string,
  where: Where & { readonly max?: string; readonly wait_ms?: string } = {},
): Promise<{ readonly events: Received[]; readonly cursor: string }> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(address(base, topic, where), { headers });
  const body: unknown = await answer.json();
  if (answer.ok) return body as { events: Received[]; cursor: string };
  throw new Error((body as { code: string }).code);
}
