import { connect, type Socket } from 'node:net';
import { ReachflowError } from '../../runtime/errors.ts';

const CLIENT_ID = Buffer.from('reachflow-bench');
const CONNECT_TIMEOUT_MS = 10_000;

interface Waiting {
  resolve(response: Buffer): void;
  reject(error: Error): void;
}

function lost(address: string, cause?: unknown): ReachflowError {
  return new ReachflowError(`the connection to the broker at ${address} is lost`, {
    code: 'KAFKA_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: '`reachflow stack status` shows whether it runs.',
    cause,
  });
}

/** A connection to one broker. Requests are answered in the order in which they were sent, so several may wait. */
export class BrokerConnection {
  readonly #socket: Socket;
  readonly #address: string;
  readonly #waiting: Waiting[] = [];
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #correlation = 0;

  private constructor(socket: Socket, address: string) {
    this.#socket = socket;
    this.#address = address;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail());
  }

  /** @param address host:port. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
  static async open(address: string): Promise<BrokerConnection> {
    const colon = address.lastIndexOf(':');
    const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon));
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(lost(address)));
      socket.once('connect', resolve);
      socket.once('error', (error) => reject(lost(address, error)));
    });
    socket.setTimeout(0);
    return new BrokerConnection(socket, address);
  }

  /** Sends a request with a version 1 header (KIP-482: not a flexible one); the answer is what follows its header. */
  request(apiKey: number, version: number, body: readonly Buffer[]): Promise<Buffer> {
    const header = Buffer.alloc(4 + 10 + CLIENT_ID.length);
    const bodyBytes = body.reduce((sum, part) => sum + part.length, 0);
    header.writeInt32BE(header.length - 4 + bodyBytes, 0);
    header.writeInt16BE(apiKey, 4);
    header.writeInt16BE(version, 6);
    this.#correlation += 1;
    header.writeInt32BE(this.#correlation, 8);
    header.writeInt16BE(CLIENT_ID.length, 12);
    CLIENT_ID.copy(header, 14);
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(lost(this.#address));
      this.#waiting.push({ resolve, reject });
      this.#socket.cork();
      this.#socket.write(header);
      for (const part of body) this.#socket.write(part);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#receivedBytes += chunk.length;
    while (this.#receivedBytes >= 4) {
      const all = this.#received.length === 1 ? this.#received[0] : Buffer.concat(this.#received);
      if (all === undefined) return;
      this.#received = [all];
      const length = all.readInt32BE(0);
      if (all.length < 4 + length) return;
      // Behind the length is the correlation id: answers come in order.
      this.#waiting.shift()?.resolve(all.subarray(8, 4 + length));
      this.#received = [all.subarray(4 + length)];
      this.#receivedBytes = all.length - 4 - length;
    }
  }

  #fail(cause?: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(lost(this.#address, cause));
  }
}
