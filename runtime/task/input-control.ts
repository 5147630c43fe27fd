/** How a replay reads its inputs: up to where, and how fast. Live processes have none. */
export interface InputControl {
  /** The first offset that is not processed; undefined where reading goes on with what comes. */
  boundOf(topic: string, partition: number): bigint | undefined;
  /**
   * Waits until so many records may be processed. @param isStale ends the wait: the member is to let go of the partition.
   */
  take(records: number, isStale: () => boolean): Promise<void>;
}
