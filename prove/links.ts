import type { StackEndpoints } from '../compose/endpoints.ts';
import { startProxyTo, type TcpProxy, throughProxy } from './tcp-proxy.ts';

export const stores = ['postgres', 'clickhouse', 'elasticsearch'] as const;
export type Store = (typeof stores)[number];

/** Ports of URLs that name none. */
const DEFAULT_PORTS: Readonly<Record<Store, number>> = {
  postgres: 5_432,
  clickhouse: 8_123,
  elasticsearch: 9_200,
};

/**
 * The workers' ways to the stores, each through a proxy: a store can be slow, or away, for the workers alone. The load, the
 * count and Kafka Connect go past them.
 */
export class StoreLinks {
  readonly #proxies: Readonly<Record<Store, TcpProxy>>;
  /** Where workers find the engines. */
  readonly endpoints: StackEndpoints;

  private constructor(endpoints: StackEndpoints, proxies: Readonly<Record<Store, TcpProxy>>) {
    const through = <S extends Store>(store: S) => ({
      ...endpoints[store],
      url: throughProxy(endpoints[store].url, proxies[store]),
    });
    this.#proxies = proxies;
    this.endpoints = {
      ...endpoints,
      postgres: through('postgres'),
      clickhouse: { ...endpoints.clickhouse, ...through('clickhouse') },
      elasticsearch: through('elasticsearch'),
    };
  }

  /** @throws what listening throws. */
  static async open(endpoints: StackEndpoints): Promise<StoreLinks> {
    const to = (store: Store) => startProxyTo(endpoints[store].url, DEFAULT_PORTS[store]);
    return new StoreLinks(endpoints, {
      postgres: await to('postgres'),
      clickhouse: await to('clickhouse'),
      elasticsearch: await to('elasticsearch'),
    });
  }

  /** Connections are reset, and refused until `restore`. */
  cut(store: Store): Promise<void> {
    return this.#proxies[store].cut();
  }

  restore(store: Store): Promise<void> {
    return this.#proxies[store].restore();
  }

  /** Each answer comes so much later, ms; at once again without `ms`. */
  slowDown(store: Store, ms?: () => number): void {
    this.#proxies[store].slowDown(ms);
  }

  async close(): Promise<void> {
    await Promise.all(stores.map((store) => this.#proxies[store].close()));
  }
}
