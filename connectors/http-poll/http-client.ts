import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { checkLiteral, publicLookup } from './address-guard.ts';
import type { PollSource } from './config.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Where it came from, after redirects. */
  readonly url: URL;
}

/** A URL as errors may show it: without its query, which can hold keys. */
export function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function failed(code: string, message: string, hint: string, cause?: unknown): ReachflowError {
  return new ReachflowError(message, { code, domain: 'external', retry: 'backoff', hint, cause });
}

/** Gets documents of one source, within its limits: time, size, addresses and hosts. Connections are kept. */
export class PollClient {
  readonly #source: PollSource;
  readonly #origin: string;
  readonly #hosts: ReadonlySet<string>;
  readonly #agents = {
    'http:': new HttpAgent({ keepAlive: true }),
    'https:': new HttpsAgent({ keepAlive: true }),
  };

  constructor(source: PollSource) {
    this.#source = source;
    // Placeholders of the template are in path or query.
    const { origin, host } = new URL(source.url);
    this.#origin = origin;
    this.#hosts = new Set([host, ...source.allowedHosts]);
  }

  /**
   * Gets a document, following redirects.
   * @throws ReachflowError `POLL_UNREACHABLE`, `POLL_TIMEOUT`, `POLL_RESPONSE_TOO_LARGE`, `POLL_REDIRECT_REFUSED`,
   *   `POLL_ADDRESS_REFUSED`.
   */
  async get(
    url: URL,
    headers: Readonly<Record<string, string>>,
    stop: AbortSignal,
  ): Promise<Answer> {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(this.#source.timeoutMs)]);
    let at = this.check(url);
    for (let hops = 0; hops <= this.#source.maxRedirects; hops += 1) {
      const answer = await this.#getOne(at, headers, signal);
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined)
        return answer;
      at = this.check(new URL(location, at), at);
    }
    throw failed(
      'POLL_REDIRECT_REFUSED',
      `${shown(url)} redirects too often`,
      'Set the URL to where it leads.',
    );
  }

  /**
   * A URL that the source named: a redirect, a next page. @param from where it was named, if it was.
   * @throws ReachflowError `POLL_REDIRECT_REFUSED` when it leads elsewhere than is configured.
   */
  check(url: URL, from?: URL): URL {
    const isDowngrade = from?.protocol === 'https:' && url.protocol !== 'https:';
    const isHttp = url.protocol === 'http:' || url.protocol === 'https:';
    if (isHttp && !isDowngrade && this.#hosts.has(url.host)) {
      if (!this.#source.allowPrivateNetwork) checkLiteral(url.hostname);
      return url;
    }
    throw failed(
      'POLL_REDIRECT_REFUSED',
      `the source leads to ${shown(url)}, which is not configured`,
      'If it is meant, add its host to allowedHosts of the source.',
    );
  }

  async #getOne(
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      const response = await this.#send(url, headers, signal);
      const body = await readBody(response, this.#source.maxResponseBytes);
      return { status: response.statusCode ?? 0, headers: response.headers, body, url };
    } catch (error) {
      if (error instanceof ReachflowError) throw error;
      const where = shown(url);
      if (signal.aborted && (signal.reason as Error).name === 'TimeoutError')
        throw failed(
          'POLL_TIMEOUT',
          `${where} did not answer in time`,
          'Raise timeoutMs of the source, or ask for less.',
          error,
        );
      throw failed(
        'POLL_UNREACHABLE',
        `${where} cannot be read: ${errorMessage(error)}`,
        'Is the URL right, and the server up?',
        error,
      );
    }
  }

  #send(
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { secretHeaders, allowPrivateNetwork } = this.#source;
    const isHttps = url.protocol === 'https:';
    const options = {
      signal,
      agent: this.#agents[isHttps ? 'https:' : 'http:'],
      headers: {
        'accept-encoding': 'gzip, deflate, br',
        ...headers,
        ...(url.origin === this.#origin ? secretHeaders : {}),
      },
      ...(allowPrivateNetwork ? {} : { lookup: publicLookup }),
    };
    return new Promise((resolve, reject) => {
      const sent = isHttps ? httpsRequest(url, options) : httpRequest(url, options);
      sent.once('response', resolve).once('error', reject).end();
    });
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}

function decompressed(response: IncomingMessage): Readable {
  const decoder = decoderOf(response.headers['content-encoding']);
  if (decoder === undefined) return response;
  // The end of either is that of both; whoever reads sees the error.
  return pipeline(response, decoder, () => undefined);
}

function decoderOf(encoding: string | undefined): Transform | undefined {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip();
  if (encoding === 'br') return createBrotliDecompress();
  return encoding === 'deflate' ? createInflate() : undefined;
}

async function readBody(response: IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of decompressed(response) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > most) {
      response.destroy();
      throw failed(
        'POLL_RESPONSE_TOO_LARGE',
        `an answer has more than ${most} bytes`,
        'Ask for smaller pages, or raise maxResponseBytes of the source.',
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
