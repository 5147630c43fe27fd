const TOKEN = 'reachflow.token';

/** What the API refuses, as RFC 9457 says it. */
export class Problem extends Error {
  /** @param {number} status @param {{ code?: string, detail?: string, hint?: string }} document */
  constructor(
    status,
    { code = 'UNREACHABLE', detail = 'The console does not answer.', hint = '' },
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** The token of this tab, '' for none. */
export function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? '';
  } catch {
    return '';
  }
}

/** Remembers a token for this tab alone. @param {string} value '' forgets it */
export function setToken(value) {
  if (value === '') sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, value);
}

/** @param {string} path @param {RequestInit} [options] */
async function request(path, options = {}) {
  const own = token();
  const headers = {
    ...(own === '' ? {} : { authorization: `Bearer ${own}` }),
    ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    throw new Problem(0, { hint: 'Is `reachflow console` still running? It is asked again.' });
  }
  if (response.ok) return response;
  throw new Problem(response.status, await response.json().catch(() => ({})));
}

/** @param {string} path @returns {Promise<any>} */
export async function get(path) {
  return (await request(path)).json();
}

/** @param {string} path @param {unknown} body @returns {Promise<any>} */
export async function post(path, body) {
  return (await request(path, { method: 'POST', body: JSON.stringify(body) })).json();
}

const RETRY_MS = 1_500;
/** A beat comes every 10 s. */
const SILENT_MS = 25_000;

/**
 * Server-Sent Events, with the token in a header, which EventSource cannot send. Connects again until it is ended.
 * @param {string} path
 * @param {(event: string, data: any) => void} onEvent
 * @param {(problem: Problem) => void} onProblem
 * @returns {() => void} ends it
 */
export function follow(path, onEvent, onProblem) {
  const ended = new AbortController();
  const run = async () => {
    while (!ended.signal.aborted) {
      try {
        await read(path, onEvent, ended.signal);
      } catch (error) {
        if (ended.signal.aborted) return;
        onProblem(error instanceof Problem ? error : new Problem(0, {}));
        // What is refused stays refused.
        if (error instanceof Problem && error.status >= 400 && error.status < 500) return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  };
  void run();
  return () => ended.abort();
}

/** @param {string} path @param {(event: string, data: any) => void} onEvent @param {AbortSignal} ended */
async function read(path, onEvent, ended) {
  const silent = new AbortController();
  const signal = AbortSignal.any([ended, silent.signal]);
  const response = await request(path, { signal });
  if (response.body === null) throw new Problem(0, {});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer = setTimeout(() => silent.abort(), SILENT_MS);
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done)
        throw new Problem(0, { detail: 'The connection has ended.', hint: 'It is opened again.' });
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENT_MS);
      const parts = (rest + value).split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) dispatch(part, onEvent);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** @param {string} text @param {(event: string, data: any) => void} onEvent */
function dispatch(text, onEvent) {
  const lines = text.split('\n');
  const of = (/** @type {string} */ field) =>
    lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
  const [event, data] = [of('event'), of('data')];
  if (event !== undefined && data !== undefined) onEvent(event, JSON.parse(data));
}
