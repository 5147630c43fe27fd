import { join } from 'node:path';
import { heapFlags } from '../../cli/workers/memory.ts';
import type { Contestant } from './contestant.ts';

/** What `workers.memoryMb` is by default, MiB. */
const MEMORY_MB = 512;

/** Reachflow, from this checkout, with the heap of a worker. @param state where tasks keep their state. */
export function reachflow(state: 'lmdb' | 'memory'): Contestant {
  return {
    name: state === 'lmdb' ? 'reachflow' : `reachflow (${state})`,
    rule: 'due',
    command: ({ work, brokers, registryUrl, stateDir, checkpointDir, checkpointMs }) => ({
      file: process.execPath,
      args: [
        ...heapFlags(MEMORY_MB),
        ...[join(import.meta.dirname, '..', 'ours.ts'), '--work', work],
        ...['--brokers', brokers.join(','), '--registry', registryUrl],
        ...['--state', state, '--state-dir', stateDir, '--checkpoint-dir', checkpointDir],
        ...(checkpointMs === undefined ? [] : ['--checkpoint-ms', String(checkpointMs)]),
      ],
    }),
  };
}
