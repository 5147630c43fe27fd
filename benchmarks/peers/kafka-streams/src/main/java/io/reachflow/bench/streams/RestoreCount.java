package io.reachflow.bench.streams;

import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** Counts the changelog records that stores are rebuilt from. */
final class RestoreCount implements StateRestoreListener {
    private final AtomicLong records = new AtomicLong();

    long records() {
        return records.get();
    }

    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) {}

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long end, long restored) {
        records.addAndGet(restored);
    }

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long restored) {}
}
