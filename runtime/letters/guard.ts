import type { SelectLetters } from '../delivery/redrive-plan.ts';
import { ReachflowError } from '../errors.ts';
import type { Topology } from '../topology/graph.ts';
import { repeatedBefore } from '../topology/paths.ts';

/** Who reads what is sent back. */
export interface GuardOptions {
  readonly pipelines: readonly Topology[];
  /** Names. */
  readonly sinks: readonly string[];
  /** Also what state would count a second time. */
  readonly force: boolean;
}

/**
 * A selection that also looks at what is sent where, once for each kind of failure.
 * @throws from the result: ReachflowError `DLQ_CONSUMER_UNKNOWN` where nobody reads what would be sent,
 *   `REDRIVE_REPEATS_STATE` where steps with state would have a record twice.
 */
export function guardedSelector(select: SelectLetters, options: GuardOptions): SelectLetters {
  const checked = new Set<string>();
  return async (letters) => {
    const chosen = await select(letters);
    for (const letter of chosen) {
      const kind = letter.text('fingerprint');
      if (checked.has(kind)) continue;
      const consumer = letter.text('consumer');
      requireConsumer(consumer, options);
      if (!options.force) requireOnce(consumer, letter.text('step'), options);
      checked.add(kind);
    }
    return chosen;
  };
}

function requireConsumer(consumer: string, { pipelines, sinks }: GuardOptions): void {
  const known = [...pipelines.map(({ name }) => name), ...sinks];
  if (known.includes(consumer)) return;
  throw new ReachflowError(
    `nobody reads what would be sent to ${consumer}: there is no such part`,
    {
      code: 'DLQ_CONSUMER_UNKNOWN',
      domain: 'user',
      hint: `Is it an old name? There are: ${known.join(', ')}. Drop its letters, or leave them to expire.`,
    },
  );
}

function requireOnce(consumer: string, failed: string, { pipelines }: GuardOptions): void {
  const topology = pipelines.find(({ name }) => name === consumer);
  const steps = topology === undefined ? [] : repeatedBefore(topology, failed);
  if (steps.length === 0) return;
  throw new ReachflowError(
    `records that ${consumer}.${failed} gave up on would pass ${steps.join(', ')} a second time`,
    {
      code: 'REDRIVE_REPEATS_STATE',
      domain: 'user',
      hint: 'What those steps count or join would have it twice. Replay the topic instead, or use --force.',
    },
  );
}
