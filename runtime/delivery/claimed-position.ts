import { ReachflowError } from '../errors.ts';
import type { Clock } from './clock.ts';
import {
  committedOf,
  type GroupPositions,
  inputReplaced,
  type PositionProtocol,
  startAt,
  startOf,
} from './position.ts';
import type { Sink } from './sink.ts';

/** How often Kafka is told of a position that the store keeps, ms: tools that show lag read it there. */
const TELL_MS = 1_000;

/**
 * For stores that commit the position with the rows: it is read from the store, which fences whoever had the
 * partition before. The group's offset only says how far that is.
 */
export function claimedPosition(
  sink: Sink,
  topic: string,
  partition: number,
  group: GroupPositions,
  clock: Clock,
): PositionProtocol {
  let toldAt = 0;
  let told: bigint | undefined;
  let opened = false;
  const tell = async (offset: bigint) => {
    if (offset === told) return;
    await group.commit(offset);
    toldAt = clock.now();
    told = offset;
  };
  return {
    async open() {
      const found = await committedOf(group, topic, partition);
      // Whoever claims fences another: after a loss, only a member of the present generation may.
      if (opened) await group.commit(startOf(found).position);
      opened = true;
      told = startOf(found).position;
      const claim = (await sink.claim?.(topic, partition, found.topicId)) ?? noClaim(sink);
      const { epoch, position, topicId = found.topicId } = claim;
      if (position === undefined) return { ...startOf(found), epoch };
      if (topicId !== found.topicId && found.topicId !== undefined) {
        throw inputReplaced(topic, partition, position);
      }
      // The owner before may have written what came after we asked; now that it is fenced, it cannot.
      const { low, high } =
        position <= found.high ? found : await committedOf(group, topic, partition);
      if (position > high) throw beyondEnd(sink, topic, partition, position, high);
      return { ...startAt(position, low), epoch };
    },
    begin: async () => undefined,
    async end({ end }) {
      if (clock.now() - toldAt >= TELL_MS) await tell(end);
    },
    idle: tell,
  };
}

function noClaim(sink: Sink): never {
  throw new Error(`sink ${sink.name} is transactional and has no claim`);
}

function beyondEnd(
  { name }: Sink,
  topic: string,
  partition: number,
  position: bigint,
  high: bigint,
): ReachflowError {
  return new ReachflowError(
    `${name} has ${topic}[${partition}] up to ${position}, but the topic ends at ${high}`,
    {
      code: 'SINK_POSITION_LOST',
      domain: 'user',
      hint: 'Was the topic made anew, or the store restored beside another Kafka? Delete the position in the store to begin anew.',
    },
  );
}
