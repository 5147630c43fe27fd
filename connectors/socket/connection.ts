import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { ProblemError } from '../../runtime/http/problem.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { SocketConfig, SocketSource } from './config.ts';
import type { InFlight, Reader } from './in-flight.ts';
import { ackFrame, parseMessage, problemFrame, publishProblem, toEvent } from './message.ts';

export interface ConnectionDeps {
  readonly config: SocketConfig;
  readonly publisher: Publisher;
  readonly inFlight: InFlight;
  /** ms since the epoch. */
  readonly clock: () => number;
  /** Of each answer; undefined is an ack. */
  readonly onAnswer: (source: string, problem: ProblemError | undefined) => void;
}

/** RFC 6455: 1001 going away, 1003 unsupported data. */
const CLOSE_GOING_AWAY = 1001;
const CLOSE_UNSUPPORTED = 1003;
/** Answers that the client has not read, bytes: then nothing more is read from it. */
const MAX_UNREAD_BYTES = 1_048_576;

/**
 * One sender. Each message is answered once its record is in all replicas, in any order; what was not answered has to be sent
 * again, with its id. While too much is unanswered or unread, nothing is read: the sender waits in TCP.
 */
export class Connection implements Reader {
  readonly #ws: WebSocket;
  readonly #id: string;
  readonly #name: string;
  readonly #source: SocketSource;
  readonly #deps: ConnectionDeps;
  readonly #drained = Promise.withResolvers<void>();
  #unanswered = 0;
  #isPaused = false;
  #isClosing = false;
  #isGone = false;
  #missedPings = 0;

  /** @param id of the request that it was upgraded from. */
  constructor(
    ws: WebSocket,
    socket: Socket,
    of: { readonly id: string; readonly name: string; readonly source: SocketSource },
    deps: ConnectionDeps,
  ) {
    this.#ws = ws;
    this.#id = of.id;
    this.#name = of.name;
    this.#source = of.source;
    this.#deps = deps;
    // Bad frames end the connection; `close` follows.
    ws.on('error', () => undefined);
    ws.on('message', (data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    ws.on('pong', () => {
      this.#missedPings = 0;
    });
    ws.once('close', () => {
      this.#isGone = true;
      deps.inFlight.leave(this);
      this.#drained.resolve();
    });
    socket.on('drain', () => this.#resumeIfRoom());
    deps.inFlight.join(this);
    this.#pauseIfFull();
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    // Read ahead of the end: not answered, so it comes again.
    if (this.#isClosing) return;
    if (isBinary) {
      this.#ws.close(CLOSE_UNSUPPORTED, 'text frames only');
      return;
    }
    const { inFlight } = this.#deps;
    const bytes = data.length;
    this.#unanswered += 1;
    inFlight.add(bytes);
    this.#pauseIfFull();
    void this.#take(data.toString()).finally(() => {
      this.#unanswered -= 1;
      inFlight.remove(bytes);
      this.#resumeIfRoom();
      if (this.#isClosing && this.#unanswered === 0) this.#drained.resolve();
    });
  }

  async #take(text: string): Promise<void> {
    const { publisher, clock, config, onAnswer } = this.#deps;
    let id: string | null = null;
    try {
      const message = parseMessage(this.#source, text);
      ({ id } = message);
      const event = toEvent(this.#name, this.#source, message, clock());
      await publisher.publish('webhook.received', event);
      this.#answer(ackFrame(id));
      onAnswer(this.#name, undefined);
    } catch (error) {
      const problem = publishProblem(error, config.retryAfterSeconds);
      this.#answer(problemFrame(id, problem, this.#id));
      onAnswer(this.#name, problem);
    }
  }

  #answer(frame: string): void {
    if (this.#isGone) return;
    this.#ws.send(frame);
    this.#pauseIfFull();
  }

  get #isFull(): boolean {
    return (
      this.#unanswered >= this.#deps.config.maxInFlight ||
      this.#ws.bufferedAmount > MAX_UNREAD_BYTES
    );
  }

  #pauseIfFull(): void {
    if (this.#isPaused || this.#isGone || !(this.#deps.inFlight.isFull || this.#isFull)) return;
    this.#isPaused = true;
    this.#ws.pause();
  }

  #resumeIfRoom(): void {
    if (!this.#isPaused || this.#isGone || this.#deps.inFlight.isFull || this.#isFull) return;
    this.#isPaused = false;
    this.#ws.resume();
  }

  onFull(): void {
    this.#pauseIfFull();
  }

  onRoom(): void {
    this.#resumeIfRoom();
  }

  /** Asks whether the other side is alive, and ends the connection when it did not answer twice. */
  ping(): void {
    // Its answers are not read, either.
    if (this.#isPaused || this.#isGone) return;
    if (this.#missedPings >= 2) {
      this.#ws.terminate();
      return;
    }
    this.#missedPings += 1;
    this.#ws.ping();
  }

  /** Reads no more; resolves when all that was read is answered and the end is said. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#unanswered === 0) this.#drained.resolve();
    await this.#drained.promise;
    if (this.#isGone) return;
    this.#ws.close(CLOSE_GOING_AWAY, 'shutting down');
    // To read the other side's close frame.
    this.#ws.resume();
  }
}
