import { Counter, Gauge, type Registry } from 'prom-client';

/** How a spool stands, in plain numbers: runtime/spool/spooling-publisher.ts. */
export interface SpoolCounts {
  readonly mode: 'direct' | 'spooling' | 'closing';
  readonly bytes: number;
  readonly records: number;
  /** ms since the epoch; undefined when nothing waits. */
  readonly oldestAt: number | undefined;
  readonly spooled: number;
  readonly drained: number;
  readonly damagedBytes: number;
}

/** What spools hold, asked for at each scrape. */
export class SpoolMetrics {
  readonly #spools = new Map<string, () => SpoolCounts>();

  constructor(registry: Registry) {
    const spools = this.#spools;
    const labelNames = ['spool'] as const;
    const gauge = (name: string, help: string, read: (counts: SpoolCounts) => number) =>
      new Gauge({
        ...{ name, help, labelNames, registers: [registry] },
        collect() {
          this.reset();
          for (const [spool, counts] of spools) this.set({ spool }, read(counts()));
        },
      });
    const counter = (name: string, help: string, read: (counts: SpoolCounts) => number) =>
      new Counter({
        ...{ name, help, labelNames, registers: [registry] },
        collect() {
          this.reset();
          for (const [spool, counts] of spools) this.inc({ spool }, read(counts()));
        },
      });
    gauge(
      'reachflow_spool_active',
      '1 while events go to disk because the brokers are away or too slow, else 0.',
      ({ mode }) => (mode === 'direct' ? 0 : 1),
    );
    gauge('reachflow_spool_bytes', 'Bytes of a spool on disk.', ({ bytes }) => bytes);
    gauge(
      'reachflow_spool_records',
      'Events in a spool that are not drained.',
      ({ records }) => records,
    );
    gauge(
      'reachflow_spool_age_seconds',
      'For how long the oldest event has been in a spool; 0 when it is empty.',
      ({ oldestAt, records }) =>
        records === 0 || oldestAt === undefined ? 0 : Math.max(0, Date.now() - oldestAt) / 1_000,
    );
    counter(
      'reachflow_spool_spooled_records_total',
      'Events written to a spool since the process started.',
      ({ spooled }) => spooled,
    );
    counter(
      'reachflow_spool_drained_records_total',
      'Events that reached their topic from a spool since the process started.',
      ({ drained }) => drained,
    );
    counter(
      'reachflow_spool_damaged_bytes_total',
      'Bytes of a spool that were found damaged and set aside.',
      ({ damagedBytes }) => damagedBytes,
    );
  }

  /** Shows a spool until the returned function is called; one of the same name takes its place. */
  watch(name: string, counts: () => SpoolCounts): () => void {
    this.#spools.set(name, counts);
    return () => void (this.#spools.get(name) === counts && this.#spools.delete(name));
  }
}
