import type { ComponentName, StackEvent } from '../../types.ts';
import type { EmbeddedComponent } from '../component.ts';
import { findMaven, type Jdk } from '../toolchain.ts';
import { isProvisioned, provisionUnit, type UnitName, unitHome } from './unit.ts';
import { provisionUnits, unitOf } from './units.ts';

/** How often a silent step says that it is still at work, ms. */
const HEARTBEAT_MS = 2_000;

export interface ProvisionOptions {
  readonly cacheDir: string;
  /** @throws ReachflowError `JDK_NOT_FOUND`. Asked only when something has to be made. */
  readonly jdk: () => Jdk;
  readonly onProgress: (event: StackEvent) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Make every unit that the components need and that is not in the cache, one after the other: Maven's own
 * repository is not made for several writers, and downloads within one unit run in parallel already.
 */
export async function provision(
  components: readonly EmbeddedComponent[],
  options: ProvisionOptions,
): Promise<void> {
  const wanted = new Set(components.flatMap((component) => component.units));
  for (const unit of provisionUnits) {
    if (!wanted.has(unit.name)) continue;
    if (isProvisioned(unitHome(options.cacheDir, unit))) continue;
    await provisionOne(unit.name, options);
  }
}

async function provisionOne(name: UnitName, options: ProvisionOptions): Promise<void> {
  const unit = unitOf(name);
  const { cacheDir, signal } = options;
  const progress = startProgress(unit.component, options.onProgress);
  try {
    const outcome = await provisionUnit(cacheDir, unit, {
      jdk: options.jdk(),
      mvn: findMaven(),
      home: (needed) => unitHome(cacheDir, unitOf(needed)),
      onProgress: progress.say,
      signal,
    });
    progress.end(
      outcome === 'made' ? 'done' : 'cached',
      outcome === 'made' ? 'provisioned' : 'made by another process',
    );
  } catch (error) {
    progress.end('failed', 'provisioning failed');
    throw error;
  }
}

interface Progress {
  say(message: string): void;
  end(status: 'done' | 'cached' | 'failed', message: string): void;
}

/** Passes messages on at most as often as people can read, and repeats the last one while nothing happens. */
function startProgress(
  component: ComponentName,
  onProgress: (event: StackEvent) => void,
): Progress {
  const began = Date.now();
  let message = 'asking Maven what is missing';
  const emit = (status: StackEvent['status']): void =>
    onProgress({
      component,
      phase: 'provision',
      status,
      message,
      elapsedMs: Date.now() - began,
    });
  emit('working');
  const timer = setInterval(() => emit('working'), HEARTBEAT_MS);
  return {
    say(next) {
      message = next;
    },
    end(status, last) {
      clearInterval(timer);
      message = last;
      emit(status);
    },
  };
}
