/** What is used of KafkaJS's `OffsetManager`, by its fields. */
interface OffsetManager {
  readonly cluster: {
    fetchTopicsOffset(
      topics: readonly {
        readonly topic: string;
        readonly partitions: readonly { readonly partition: number }[];
        readonly fromBeginning: boolean;
      }[],
    ): Promise<
      readonly { readonly partitions: readonly { partition: number; readonly offset: string }[] }[]
    >;
  };
  /** By topic and partition: where the next fetch begins. */
  readonly resolvedOffsets: Readonly<Record<string, Record<number, string>>>;
}

/**
 * In the place of KafkaJS's `OffsetManager.setDefaultOffset`, which commits the offset -2 to the group when a fetch is
 * answered with OFFSET_OUT_OF_RANGE: what a task has committed in its transactions would be gone, and who opens it next
 * would begin anew. Here only this member's reading goes on, from the first offset that is there; whoever owns the
 * position decides what that means.
 */
export async function resetToStart(
  this: OffsetManager,
  { topic, partition }: { readonly topic: string; readonly partition: number },
): Promise<void> {
  const asked = [{ topic, partitions: [{ partition }], fromBeginning: true }];
  const [found] = await this.cluster.fetchTopicsOffset(asked);
  const first = found?.partitions.find((one) => one.partition === partition);
  const own = this.resolvedOffsets[topic];
  if (first !== undefined && own !== undefined) own[partition] = first.offset;
}
