/** What the live view and the end of a run need to know of Kafka. Names are logical: without the namespace. */
export interface KafkaStats {
  /** Offsets in each topic: records and transaction markers. */
  topicCounts(): Promise<Map<string, number>>;
  /** Offsets that each consumer group has still to read; markers at the end of a partition stay. */
  lag(): Promise<Map<string, number>>;
  /** Offsets in all DLQ topics. */
  dlqCount(): Promise<number>;
}
