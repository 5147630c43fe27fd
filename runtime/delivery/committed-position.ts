import { committedOf, type GroupPositions, type PositionProtocol, startOf } from './position.ts';

/**
 * For stores that take a record again without harm: the offset is committed after the batch, and a crash in between
 * writes it again.
 */
export function committedPosition(
  group: GroupPositions,
  topic: string,
  partition: number,
): PositionProtocol {
  let committed: bigint | undefined;
  const commit = async (offset: bigint) => {
    if (offset === committed) return;
    await group.commit(offset);
    committed = offset;
  };
  return {
    async open() {
      const start = startOf(await committedOf(group, topic, partition));
      committed = start.position;
      return { ...start, epoch: 0n };
    },
    begin: async () => undefined,
    end: ({ end }) => commit(end),
    idle: commit,
  };
}
