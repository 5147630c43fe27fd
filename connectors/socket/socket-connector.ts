import { Counter, Gauge } from 'prom-client';
import { settledWithin } from '../../runtime/backoff.ts';
import { listen } from '../../runtime/http/listen.ts';
import type { ProblemError } from '../../runtime/http/problem.ts';
import type { Connector } from '../connector.ts';
import { connectorOf } from '../lifecycle.ts';
import type { ConnectorServices } from '../services.ts';
import type { SocketConfig } from './config.ts';
import { Connection } from './connection.ts';
import { InFlight } from './in-flight.ts';
import { buildSocketServer } from './server.ts';

type Services = Pick<ConnectorServices, 'publisher' | 'logger' | 'metrics'>;

/** How often a failure that lasts is logged, ms. */
const LOG_MS = 1_000;
/** The pings of all connections are spread over so many turns. */
const PING_TURNS = 20;

export interface SocketConnector extends Connector {
  /** Base URL it listens on, `ws://…`; undefined when it does not. */
  url(): string | undefined;
}

/** Receives events over WebSockets and publishes them to `webhook.received`. */
export function createSocketConnector(config: SocketConfig, services: Services): SocketConnector {
  const logger = services.logger.child({ connector: 'socket' });
  const connections = new Connections(config.pingIntervalMs);
  const counts = counters(services.metrics, () => connections.count);
  let url: string | undefined;
  let failure: { readonly problem: ProblemError; readonly at: number } | undefined;
  const onAnswer = (source: string, problem: ProblemError | undefined) => {
    counts(source, problem?.code ?? 'ok');
    if (problem === undefined) failure = undefined;
    else if (problem.status >= 500) {
      const isNew = failure?.problem.code !== problem.code || Date.now() - failure.at > LOG_MS;
      failure = { problem, at: isNew ? Date.now() : (failure?.at ?? 0) };
      // Thousands of senders hear the same at once.
      if (isNew)
        logger.warn({ source, err: problem.cause ?? problem }, `socket: ${problem.message}`);
    }
  };
  const connector = connectorOf('socket', ['webhook.received'], async () => {
    if (Object.keys(config.sources).length === 0)
      return { detail: () => 'no sources are configured', close: async () => undefined };
    let isStopping = false;
    const limits = { messages: config.maxInFlightTotal, bytes: config.maxInFlightBytes };
    const { publisher } = services;
    const inFlight = new InFlight(limits);
    const deps = { config, publisher, inFlight, clock: Date.now, onAnswer };
    const app = await buildSocketServer({
      config,
      logger,
      isStopping: () => isStopping,
      onConnection: (ws, { id, raw }, name, source) => {
        const connection = new Connection(ws, raw.socket, { id, name, source }, deps);
        const gone = connections.add(connection);
        ws.once('close', gone);
      },
    });
    const { host, port } = config;
    const http = await listen(app, { host, port, section: 'socket', purpose: 'senders' });
    const base = http.replace('http:', 'ws:');
    url = base;
    connections.open();
    return {
      detail: () => `${connections.count} senders at ${base}`,
      trouble: () =>
        failure !== undefined && Date.now() - failure.at < config.retryAfterSeconds * 1_000
          ? `${failure.problem.message} (${failure.problem.code})`
          : undefined,
      close: async () => {
        isStopping = true;
        url = undefined;
        // What was read is answered before connections end.
        await settledWithin(config.shutdownTimeoutMs, connections.close());
        await settledWithin(config.shutdownTimeoutMs, [app.close()]);
        app.server.closeAllConnections();
      },
    };
  });
  return { ...connector, url: () => url };
}

/** All senders of the process. */
class Connections {
  readonly #turns: Set<Connection>[] = Array.from({ length: PING_TURNS }, () => new Set());
  readonly #intervalMs: number;
  #next = 0;
  #turn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  get count(): number {
    return this.#turns.reduce((count, { size }) => count + size, 0);
  }

  open(): void {
    this.#timer = setInterval(() => {
      this.#turn = (this.#turn + 1) % PING_TURNS;
      for (const connection of this.#turns[this.#turn] ?? []) connection.ping();
    }, this.#intervalMs / PING_TURNS);
  }

  /** @returns what to call when it is gone. */
  add(connection: Connection): () => void {
    this.#next = (this.#next + 1) % PING_TURNS;
    const turn = this.#turns[this.#next];
    turn?.add(connection);
    return () => void turn?.delete(connection);
  }

  /** Ends each: the promises of their ends. */
  close(): Promise<void>[] {
    clearInterval(this.#timer);
    return this.#turns.flatMap((turn) => [...turn].map((connection) => connection.close()));
  }
}

function counters(
  metrics: ConnectorServices['metrics'],
  open: () => number,
): (source: string, outcome: string) => void {
  const registers = metrics === undefined ? [] : [metrics.registry];
  new Gauge({
    name: 'reachflow_socket_connections',
    help: 'Open WebSockets of senders.',
    registers,
    collect() {
      this.set(open());
    },
  });
  const messages = new Counter({
    name: 'reachflow_socket_messages_total',
    help: 'Messages over WebSockets, by source and answer: ok, or the code of the problem.',
    labelNames: ['source', 'outcome'],
    registers,
  });
  return (source, outcome) => messages.inc({ source, outcome });
}
