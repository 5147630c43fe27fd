import type { FastifyInstance } from 'fastify';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';

export interface ListenOptions {
  /** Address or name of this machine. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Section of the configuration that has `host` and `port`; in capitals it begins the error's code. */
  readonly section: string;
  /** For whom it listens, as the error says it: `webhooks`. */
  readonly purpose: string;
}

/**
 * Listens.
 * @returns the base URL, `http://…`, by the host as it is configured and the port that was taken.
 * @throws ReachflowError `<SECTION>_LISTEN_FAILED`.
 */
export async function listen(app: FastifyInstance, options: ListenOptions): Promise<string> {
  const { host, port } = options;
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw listenError(options, error);
  }
  const address = app.server.address();
  return urlOf(host, typeof address === 'object' && address !== null ? address.port : port);
}

/** Base URL of a host, which may be an IPv6 address (RFC 3986, 3.2.2), and a port. */
export function urlOf(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function listenError(
  { host, port, section, purpose }: ListenOptions,
  error: unknown,
): ReachflowError {
  return new ReachflowError(
    `cannot listen for ${purpose} on ${host}:${port}: ${errorMessage(error)}`,
    {
      code: `${section.toUpperCase()}_LISTEN_FAILED`,
      domain: 'user',
      hint:
        errorCode(error) === 'EADDRINUSE'
          ? `Another process has the port: set ${section}.port (0 takes a free one).`
          : `Set ${section}.host and ${section}.port to an address of this machine.`,
      cause: error,
    },
  );
}
