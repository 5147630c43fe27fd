import { Counter, type Registry } from 'prom-client';

/** Payloads that are kept beside their topic, as this process writes, reads and removes them. */
export class ClaimMetrics {
  readonly #objects: Counter;
  readonly #bytes: Counter;
  readonly #deduplicated: Counter;
  readonly #inline: Counter<'reason'>;
  readonly #reads: Counter;
  readonly #readBytes: Counter;
  readonly #cached: Counter;
  readonly #failures: Counter<'code'>;
  readonly #swept: Counter;
  readonly #sweptBytes: Counter;

  constructor(registry: Registry) {
    const counter = (name: string, help: string) =>
      new Counter({ name: `reachflow_claim_check_${name}`, help, registers: [registry] });
    this.#objects = counter('written_objects_total', 'Payloads stored beside their topic.');
    this.#bytes = counter('written_bytes_total', 'Bytes of payloads stored beside their topic.');
    this.#deduplicated = counter(
      'deduplicated_total',
      'Large payloads that were stored already, or were being stored.',
    );
    this.#inline = new Counter({
      name: 'reachflow_claim_check_inline_total',
      help: 'Large payloads that went into the topic, by reason: failed, or away since one failed.',
      labelNames: ['reason'],
      registers: [registry],
    });
    this.#reads = counter('read_objects_total', 'Payloads read and verified.');
    this.#readBytes = counter('read_bytes_total', 'Bytes of payloads read and verified.');
    this.#cached = counter('cache_hits_total', 'Payloads that were still in memory.');
    this.#failures = new Counter({
      name: 'reachflow_claim_check_failures_total',
      help: 'Payloads that could not be read, by error code; CLAIM_CORRUPT is a hash that differs.',
      labelNames: ['code'],
      registers: [registry],
    });
    this.#swept = counter('swept_objects_total', 'Payloads removed at the end of their retention.');
    this.#sweptBytes = counter(
      'swept_bytes_total',
      'Bytes of payloads removed at the end of their retention.',
    );
  }

  wrote(bytes: number): void {
    this.#objects.inc();
    this.#bytes.inc(bytes);
  }

  deduplicated(): void {
    this.#deduplicated.inc();
  }

  keptInline(reason: 'failed' | 'away'): void {
    this.#inline.inc({ reason });
  }

  read(bytes: number): void {
    this.#reads.inc();
    this.#readBytes.inc(bytes);
  }

  cached(): void {
    this.#cached.inc();
  }

  /** @param code of the error: one of a few. */
  failed(code: string): void {
    this.#failures.inc({ code });
  }

  swept(objects: number, bytes: number): void {
    this.#swept.inc(objects);
    this.#sweptBytes.inc(bytes);
  }
}
