import { join } from 'node:path';
import type { Contestant } from './contestant.ts';

/** Reachflow, from this checkout. @param state where tasks keep their state. */
export function reachflow(state: 'lmdb' | 'memory'): Contestant {
  return {
    name: state === 'lmdb' ? 'reachflow' : `reachflow (${state})`,
    rule: 'due',
    command: ({ work, brokers, registryUrl, stateDir, checkpointDir, checkpointMs }) => ({
      file: process.execPath,
      args: [
        ...[join(import.meta.dirname, '..', 'ours.ts'), '--work', work],
        ...['--brokers', brokers.join(','), '--registry', registryUrl],
        ...['--state', state, '--state-dir', stateDir, '--checkpoint-dir', checkpointDir],
        ...(checkpointMs === undefined ? [] : ['--checkpoint-ms', String(checkpointMs)]),
      ],
    }),
  };
}
