import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { Checkpointer } from '../checkpoint/checkpointer.ts';
import type { CheckpointConfig } from '../checkpoint/config.ts';
import { restoreCheckpoint } from '../checkpoint/restore.ts';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import { createCheckpointStorage } from '../checkpoint/storage-factory.ts';
import { checkpointedState } from '../checkpoint/task-source.ts';
import { errorMessage } from '../errors.ts';
import type { StateConfig } from '../state/config.ts';
import type { StateBackend, StateIdentity, StoreSpec } from '../state/contract.ts';
import { hasState, openBackend, removeState, stateDirectory } from '../state/open-backend.ts';
import { storesOf, TaskState, type TaskStateOptions } from '../state/task-state.ts';
import type { KeptTask, StateService } from './state-service.ts';
import type { StreamTask } from './stream-task.ts';

export interface LocalStatesOptions {
  readonly state: StateConfig;
  readonly checkpoint: CheckpointConfig;
  /** Of what writes checkpoints: reachflow, node and so on. */
  readonly versions: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** How states keep their log short; tests make it very short. */
  readonly taskState?: Pick<TaskStateOptions, 'minLogBytes'>;
}

/**
 * State of this machine's tasks, with checkpoints, by the `state` and `checkpoint` sections of the configuration.
 * @throws ReachflowError `CHECKPOINT_STORAGE_INVALID` when settings are missing.
 */
export function localStates(options: LocalStatesOptions): StateService {
  return new LocalStates(options);
}

class LocalStates implements StateService {
  readonly #options: LocalStatesOptions;
  readonly #storage: CheckpointStorage | undefined;
  readonly #checkpointer: Checkpointer | undefined;

  constructor(options: LocalStatesOptions) {
    this.#options = options;
    const { state, checkpoint, versions, logger } = options;
    this.#storage = createCheckpointStorage(checkpoint);
    if (this.#storage === undefined) return;
    this.#checkpointer = new Checkpointer({
      config: checkpoint,
      storage: this.#storage,
      stagingDir: join(state.dir, '.staging'),
      versions,
      logger: logger.child({ component: 'checkpoint' }),
    });
    this.#checkpointer.start();
  }

  async open(
    identity: StateIdentity,
    specs: readonly StoreSpec<unknown>[],
    log: { readonly low: bigint; readonly lastStable: bigint },
    signal: AbortSignal,
  ): Promise<TaskState> {
    const dir = stateDirectory(this.#options.state.dir, identity);
    // Nothing is opened only to be closed again: restoring small states is mostly that.
    let backend = hasState(dir) ? await this.#backend(dir, identity, specs) : undefined;
    const local = backend?.position?.nextOffset;
    const isUsable = local !== undefined && local >= log.low && local <= log.lastStable;
    if (!isUsable && this.#storage !== undefined && log.lastStable > log.low) {
      await backend?.close();
      backend = undefined;
      await this.#restore(dir, identity, log, signal);
      signal.throwIfAborted();
    }
    backend ??= await this.#backend(dir, identity, specs);
    const { pipeline, subTopology, partition } = identity;
    const changelog = `${pipeline}.${subTopology}.changelog[${partition}]`;
    return new TaskState(specs, backend, { ...this.#options.taskState, changelog });
  }

  #backend(
    dir: string,
    identity: StateIdentity,
    specs: readonly StoreSpec<unknown>[],
  ): Promise<StateBackend> {
    const { state, logger } = this.#options;
    return openBackend({
      kind: state.backend,
      dir,
      identity,
      stores: storesOf(specs),
      onSetAside: (event) => logger.warn(event, 'state cannot be used, it is restored'),
    });
  }

  /** A checkpoint that cannot be had is no reason to stop: the changelog has everything. */
  async #restore(
    dir: string,
    identity: StateIdentity,
    { low, lastStable }: { readonly low: bigint; readonly lastStable: bigint },
    signal: AbortSignal,
  ): Promise<void> {
    const { logger, state } = this.#options;
    if (this.#storage === undefined) return;
    try {
      const manifest = await restoreCheckpoint(this.#storage, identity, dir, {
        minOffset: low,
        maxOffset: lastStable,
        backend: state.backend,
        signal,
        makeRoom: () => removeState(dir),
        onSkipped: ({ entry, reason }) =>
          logger.warn({ checkpoint: entry.id, error: reason.message }, 'checkpoint passed over'),
      });
      if (manifest === undefined) return;
      const { changelogOffset, bytes } = manifest;
      logger.info({ ...identity, changelogOffset, bytes }, 'state restored from a checkpoint');
    } catch (error) {
      if (signal.aborted) return;
      logger.warn(
        { ...identity, error: errorMessage(error) },
        'no checkpoint can be restored, reading the whole changelog',
      );
    }
  }

  warm(identity: Omit<StateIdentity, 'partition'>): readonly number[] {
    const { backend, dir } = this.#options.state;
    if (backend === 'memory') return [];
    const parent = dirname(stateDirectory(dir, { ...identity, partition: 0 }));
    if (!existsSync(parent)) return [];
    return readdirSync(parent).map(Number).filter(Number.isInteger);
  }

  keep(identity: StateIdentity, task: StreamTask): KeptTask {
    const checkpointer = this.#checkpointer;
    if (checkpointer === undefined) return NO_CHECKPOINTS;
    checkpointer.register(
      checkpointedState(identity, task.state, {
        records: () => task.counters.recordsIn,
        inputOffsets: () => Object.fromEntries(task.committedPositions),
        watermark: () => task.watermark,
      }),
    );
    const stats = checkpointer.stats().find((one) => one.identity === identity);
    return {
      checkpoints: () => ({
        newest:
          stats?.lastAt === undefined
            ? undefined
            : {
                at: stats.lastAt,
                bytes: stats.lastBytes ?? 0,
                durationMs: stats.lastDurationMs ?? 0,
              },
        failures: stats?.failures ?? 0,
      }),
      end: () => checkpointer.unregister(identity),
    };
  }

  async stop(): Promise<void> {
    await this.#checkpointer?.stop();
  }
}

const NO_CHECKPOINTS: KeptTask = {
  checkpoints: () => ({ newest: undefined, failures: 0 }),
  end: async () => undefined,
};
