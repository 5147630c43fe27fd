import type { Logger } from 'pino';
import { ReachflowError } from '../errors.ts';

/** What the brokers say of one source partition of a task. */
export interface CommittedInput {
  readonly topic: string;
  readonly partition: number;
  /** Next offset that the group has committed; undefined when it has none. */
  readonly committed: bigint | undefined;
  /** First offset that is there. */
  readonly low: bigint;
  /** Next offset, undecided transactions included. */
  readonly high: bigint;
}

/** How far a source topic was processed, and whether that was all of it. */
export interface SourcePosition {
  readonly topic: string;
  readonly position: bigint;
  readonly atEnd: boolean;
}

/**
 * Where a task begins to read a source: where the group has committed, or else where the topic begins. Records that
 * retention deleted before they were processed are passed over with a warning, since nothing brings them back.
 *
 * A position beyond the topic's end means that the topic was deleted and made anew, or that the broker lost what it had
 * acknowledged. To begin anew would be right for the first and process everything twice for the second, and to wait
 * until the offsets have grown would skip what comes until then; so it is refused, and somebody decides.
 * @throws ReachflowError `INPUT_REPLACED` (domain user).
 */
export function inputPosition(
  input: CommittedInput,
  group: string,
  logger: Logger,
): SourcePosition {
  const { topic, partition, committed, low, high } = input;
  if (committed !== undefined && committed > high) throw replaced(input, group);
  if (committed !== undefined && committed < low) {
    logger.warn(
      { topic, partition, committed: String(committed), first: String(low) },
      'input records were deleted before they were processed, going on behind them',
    );
  }
  const position = committed === undefined || committed < low ? low : committed;
  return { topic, position, atEnd: position >= high };
}

function replaced({ topic, partition, committed, high }: CommittedInput, group: string) {
  return new ReachflowError(
    `${topic}[${partition}] ends at ${high}, before ${committed}, up to which ${group} has processed it`,
    {
      code: 'INPUT_REPLACED',
      domain: 'user',
      hint: `Was the topic deleted and made anew? Then delete the offsets of the consumer group ${group} for it, to process it from its start; or restore the topic.`,
    },
  );
}
