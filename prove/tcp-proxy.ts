import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A TCP proxy on a free loopback port, to break the way to an engine that others share. */
export interface TcpProxy {
  readonly host: string;
  readonly port: number;
  /** Connections are refused from now on, and open ones are reset. */
  cut(): Promise<void>;
  /** Connections work again. */
  restore(): Promise<void>;
  /** Connections are accepted and stay open, but nothing passes in either direction. */
  freeze(): void;
  /** What was held back passes, and all that follows. */
  thaw(): void;
  /** Each chunk passes so much later, ms; 0 passes at once. Order is kept. */
  delay(ms: number): void;
  /**
   * The server is slow: each answer (what it sends first after bytes of the client) comes so much later, ms. As many
   * answers of as many connections wait at the same time. Without `ms`, they come at once again.
   */
  slowDown(ms?: () => number): void;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';

/** Starts a proxy to `host:port`. */
export async function startTcpProxy(host: string, port: number): Promise<TcpProxy> {
  const proxy = new Proxying(host, port);
  await proxy.restore();
  return proxy;
}

/** The URL with the proxy's address in place of its own. */
export function throughProxy(url: string, proxy: TcpProxy): string {
  const through = new URL(url);
  through.hostname = proxy.host;
  through.port = String(proxy.port);
  return through.href;
}

/** Starts a proxy to the address of a URL. @param defaultPort where the URL names none. */
export async function startProxyTo(url: string, defaultPort: number): Promise<TcpProxy> {
  const { hostname, port } = new URL(url);
  return startTcpProxy(hostname, port === '' ? defaultPort : Number(port));
}

/** What is known of a connection. */
interface Talk {
  /** The client has sent something that is not answered yet. */
  isAsked: boolean;
}

type Hold = (chunks: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>;

class Proxying implements TcpProxy {
  readonly host = HOST;
  port = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #frozen: PromiseWithResolvers<void> | undefined;
  #delay = 0;
  #late: (() => number) | undefined;

  constructor(host: string, port: number) {
    this.#target = { host, port };
  }

  async restore(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((client) => this.#accept(client));
    this.#server = server;
    // The same port after a cut, or the engine's clients would not find it again.
    server.listen(this.port, HOST);
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
  }

  delay(ms: number): void {
    this.#delay = ms;
  }

  slowDown(ms?: () => number): void {
    this.#late = ms;
  }

  async close(): Promise<void> {
    await this.cut();
    this.thaw();
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target);
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    }
    const talk: Talk = { isAsked: false };
    void this.#pass(client, upstream, (chunks) => this.#ask(chunks, talk));
    void this.#pass(upstream, client, (chunks) => this.#answer(chunks, talk));
  }

  /** One direction, until either side ends it. A failure of one is the other's: the pair is gone. */
  async #pass(from: Socket, to: Socket, hold: Hold): Promise<void> {
    try {
      await pipeline(from, hold, to);
    } catch {
      from.destroy();
      to.destroy();
    }
  }

  async *#ask(chunks: AsyncIterable<Buffer>, talk: Talk): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      await this.#hold();
      talk.isAsked = true;
      yield chunk;
    }
  }

  async *#answer(chunks: AsyncIterable<Buffer>, talk: Talk): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      await this.#hold();
      if (talk.isAsked && this.#late !== undefined) await sleep(this.#late());
      talk.isAsked = false;
      yield chunk;
    }
  }

  async #hold(): Promise<void> {
    if (this.#delay > 0) await sleep(this.#delay);
    await this.#frozen?.promise;
  }
}
