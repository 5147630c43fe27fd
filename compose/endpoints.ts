import type { ConnectionOptions } from 'node:tls';

/** Where the engines of a stack listen. The same shape for embedded, Docker and external engines. */
export interface StackEndpoints {
  readonly kafka: { readonly brokers: readonly string[] };
  /** Confluent-compatible API base, e.g. `http://127.0.0.1:8081/apis/ccompat/v7`. */
  readonly registry: { readonly url: string };
  readonly connect: { readonly url: string };
  /** `postgres://user:password@host:port/database`: both the CDC source and the Postgres sink's store. */
  readonly postgres: { readonly url: string };
  readonly clickhouse: {
    readonly url: string;
    readonly username: string;
    readonly password: string;
    readonly database: string;
  };
  readonly elasticsearch: { readonly url: string };
}

/** How to get into engines that do not let everyone in. Holds secrets: never printed. */
export interface EngineAccess {
  /** `sasl` is there when brokers ask for a login. */
  readonly kafka: { readonly ssl: ConnectionOptions | false; readonly sasl?: unknown };
  /** Headers of every request. */
  readonly headers: Readonly<
    Partial<Record<'registry' | 'connect' | 'elasticsearch', Readonly<Record<string, string>>>>
  >;
}

/** Engines that anyone may use, as the embedded ones. */
export const OPEN: EngineAccess = { kafka: { ssl: false }, headers: {} };
