import { invalid } from '../../../runtime/operators/validation.ts';
import { jsonSerde, type StoreSpec } from '../../../runtime/state/store.ts';
import { OK, type Processor, type TaskContext } from '../../../runtime/task/processor.ts';
import { WINDOW_MS } from './record-event.ts';

interface WindowState {
  readonly count: number;
  readonly version: number;
}

/** How long after its start a window still takes events, by the newest window seen. */
export const ALLOWED_LATENESS_MS = 7 * 86_400_000;

/** Open windows by `<window start>/<tenant>`. */
export const windows: StoreSpec<WindowState> = { name: 'windows', serde: jsonSerde<WindowState>() };

/**
 * Sums the deltas of a tenant's windows and emits each window that changed, once per epoch. A delta for a
 * window that was closed goes to the DLQ: its count is final, and a wrong one would replace it.
 */
export function createCountTenantsStep(
  context: TaskContext,
): Processor<'metric.tenant.count.delta'> {
  const store = context.store(windows);
  const changed = new Map<string, { tenant: string; start: number }>();
  let newest = 0;

  function closeOldWindows(): void {
    const closed: string[] = [];
    for (const [key] of store.entries()) {
      if (Number.parseInt(key, 10) < newest - ALLOWED_LATENESS_MS) closed.push(key);
    }
    for (const key of closed) store.delete(key);
  }

  let closedUpTo = 0;
  return {
    onStart() {
      for (const [key] of store.entries()) newest = Math.max(newest, Number.parseInt(key, 10));
    },
    process({ value }) {
      if (value === null) return { kind: 'drop', reason: 'tombstone' };
      const { tenant_id: tenant, window_start: start, delta } = value;
      if (start < newest - ALLOWED_LATENESS_MS) {
        return invalid(
          'a count',
          [`its window ${new Date(start).toISOString()} is closed`],
          tenant,
        );
      }
      newest = Math.max(newest, start);
      const key = `${start}/${tenant}`;
      const before = store.get(key) ?? { count: 0, version: 0 };
      store.set(key, { count: before.count + delta, version: before.version + 1 });
      changed.set(key, { tenant, start });
      return OK;
    },
    endEpoch() {
      for (const [key, { tenant, start }] of changed) {
        const state = store.get(key);
        if (state === undefined) continue;
        context.emit('metric.tenant.count', tenant, {
          tenant_id: tenant,
          window_start: start,
          window_end: start + WINDOW_MS,
          count: state.count,
          version: BigInt(state.version),
        });
      }
      changed.clear();
      // Scanning the windows once per minute of event time is enough to keep the store bounded.
      if (newest >= closedUpTo + WINDOW_MS) {
        closeOldWindows();
        closedUpTo = newest;
      }
    },
  };
}
