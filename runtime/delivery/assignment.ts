import type { GroupOffset, GroupOffsets, Membership } from '../kafka/group-offsets.ts';
import type { TopicPartition } from '../kafka/record.ts';
import type { GroupPositions } from './position.ts';

/**
 * The partitions that a member was given in one generation, with what the group has committed for them: read for all of
 * them together, when the first lane asks.
 */
export class Assignment {
  readonly #offsets: GroupOffsets;
  readonly #membership: Membership;
  readonly #held: readonly TopicPartition[];
  #read: Promise<ReadonlyMap<string, GroupOffset>> | undefined;

  constructor(offsets: GroupOffsets, membership: Membership, held: readonly TopicPartition[]) {
    this.#offsets = offsets;
    this.#membership = membership;
    this.#held = held;
  }

  /**
   * The group's positions of one of the partitions, under this generation.
   * @param isFresh read them each time they are asked for, rather than with all others the first time.
   */
  positions(of: TopicPartition, isFresh = false): GroupPositions {
    let isFirst = !isFresh;
    return {
      committed: async () => {
        // Asked again after others may have moved it.
        const found = isFirst ? (await this.#all()).get(keyOf(of)) : undefined;
        isFirst = false;
        const [committed] = found === undefined ? await this.#offsets.read([of]) : [found];
        if (committed === undefined) throw new Error('no offsets for one partition');
        const { topicId, committedId } = committed;
        const isOfTopic = topicId !== undefined && topicId === committedId;
        const isOther = topicId !== undefined && committedId !== undefined && !isOfTopic;
        return { ...committed, isOfTopic, isOther };
      },
      commit: (offset, metadata) => this.#offsets.commit(this.#membership, of, offset, metadata),
    };
  }

  async #all(): Promise<ReadonlyMap<string, GroupOffset>> {
    this.#read ??= this.#offsets
      .read(this.#held)
      .then((found) => new Map(found.map((one) => [keyOf(one), one])));
    try {
      return await this.#read;
    } catch (error) {
      this.#read = undefined;
      throw error;
    }
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
