import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../runtime/observability/metrics.ts';
import { PositionWatch } from './position-watch.ts';
import type { CapturePosition } from './source.ts';

const position: CapturePosition = {
  slot: 's',
  lagBytes: 100,
  retainedBytes: 300,
  restartLsn: 700n,
  confirmedFlushLsn: 900n,
  isActive: true,
  isLost: false,
};

describe('PositionWatch', () => {
  it('exports what the slot says, keeps it while the database is away, and ends with the watch', async () => {
    const metrics = createMetrics({ version: '1', process: false });
    let found = async () => position;
    const watch = new PositionWatch({
      source: { position: () => found() },
      connector: 'c',
      logger: pino({ level: 'silent' }),
      intervalMs: 5,
      metrics: metrics.capture,
    });
    const shown = () => metrics.registry.metrics();
    watch.start();
    await vi.waitFor(() => expect(watch.last).toEqual(position));
    const text = await shown();
    for (const line of [
      'reachflow_cdc_slot_lag_bytes{connector="c",slot="s"} 100',
      'reachflow_cdc_slot_retained_bytes{connector="c",slot="s"} 300',
      'reachflow_cdc_slot_restart_lsn{connector="c",slot="s"} 700',
      'reachflow_cdc_slot_confirmed_flush_lsn{connector="c",slot="s"} 900',
      'reachflow_cdc_slot_active{connector="c",slot="s"} 1',
      'reachflow_cdc_slot_lost{connector="c",slot="s"} 0',
    ]) {
      expect(text).toContain(line);
    }
    let away = 0;
    found = () => {
      away += 1;
      return Promise.reject(new Error('away'));
    };
    await vi.waitFor(() => expect(away).toBeGreaterThan(1));
    expect(watch.last).toEqual(position);
    found = async () => ({ ...position, isLost: true });
    await vi.waitFor(async () =>
      expect(await shown()).toContain('slot_lost{connector="c",slot="s"} 1'),
    );
    await watch.stop();
    expect(await shown()).not.toContain('connector="c"');
  });
});
