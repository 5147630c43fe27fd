import { Gauge, type Registry } from 'prom-client';

/** What a replication slot says of itself. */
export interface SlotFigures {
  readonly slot: string;
  readonly lagBytes: number | undefined;
  readonly retainedBytes: number | undefined;
  readonly restartLsn: bigint | undefined;
  readonly confirmedFlushLsn: bigint | undefined;
  readonly isActive: boolean;
  readonly isLost: boolean;
}

interface SlotGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (slot: SlotFigures) => number | undefined;
}

const GAUGES: readonly SlotGauge[] = [
  {
    name: 'reachflow_cdc_slot_lag_bytes',
    help: 'WAL that the capture has not confirmed yet (confirmed_flush_lsn).',
    value: ({ lagBytes }) => lagBytes,
  },
  {
    name: 'reachflow_cdc_slot_retained_bytes',
    help: 'WAL that the database keeps for the slot (restart_lsn).',
    value: ({ retainedBytes }) => retainedBytes,
  },
  {
    name: 'reachflow_cdc_slot_restart_lsn',
    help: 'restart_lsn as a number: exact to 2^53.',
    value: ({ restartLsn }) => (restartLsn === undefined ? undefined : Number(restartLsn)),
  },
  {
    name: 'reachflow_cdc_slot_confirmed_flush_lsn',
    help: 'confirmed_flush_lsn as a number: exact to 2^53.',
    value: ({ confirmedFlushLsn }) =>
      confirmedFlushLsn === undefined ? undefined : Number(confirmedFlushLsn),
  },
  {
    name: 'reachflow_cdc_slot_active',
    help: '1 while somebody reads from the slot.',
    value: ({ isActive }) => (isActive ? 1 : 0),
  },
  {
    name: 'reachflow_cdc_slot_lost',
    help: '1 when the database has invalidated the slot: the capture cannot go on.',
    value: ({ isLost }) => (isLost ? 1 : 0),
  },
];

/** Replication slots of captures, as last seen. */
export class CaptureMetrics {
  readonly #slots = new Map<string, SlotFigures>();

  constructor(registry: Registry) {
    const slots = this.#slots;
    for (const { name, help, value } of GAUGES) {
      new Gauge({
        name,
        help,
        labelNames: ['connector', 'slot'],
        registers: [registry],
        collect() {
          this.reset();
          for (const [connector, figures] of slots) {
            const found = value(figures);
            if (found !== undefined) this.set({ connector, slot: figures.slot }, found);
          }
        },
      });
    }
  }

  set(connector: string, figures: SlotFigures): void {
    this.#slots.set(connector, figures);
  }

  remove(connector: string): void {
    this.#slots.delete(connector);
  }
}
