package io.reachflow.bench.streams;

import io.reachflow.bench.Arguments;
import io.reachflow.bench.Namespace;
import io.reachflow.bench.Protocol;
import io.reachflow.bench.Work;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.CloseOptions.GroupMembershipOperation;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Kafka Streams as the harness runs it: {@code exactly_once_v2}, everything not named here by default. */
public final class StreamsPeer implements Work {
    private static final String APPLICATION = "bench";
    private static final Duration LIMIT = Duration.ofMinutes(5);

    private final Arguments arguments;
    private KafkaStreams streams;

    private StreamsPeer(Arguments arguments) {
        this.arguments = arguments;
    }

    public static void main(String[] given) {
        Protocol.serve(new StreamsPeer(new Arguments(given)));
    }

    @Override
    public Started start(Namespace namespace) throws InterruptedException {
        boolean counts = arguments.get("work").equals("t1");
        Topology topology = counts
                ? DedupCountTopology.build(
                        namespace,
                        arguments.get("store", "window"),
                        arguments.get("group", "lean"),
                        arguments.get("emit", "updates"))
                : FilterTopology.build(namespace);
        streams = new KafkaStreams(topology, properties(namespace));
        streams.setUncaughtExceptionHandler(failure -> {
            Protocol.fail(failure);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        var running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) running.countDown();
        });
        var restore = new RestoreCount();
        streams.setGlobalStateRestoreListener(restore);
        long began = System.nanoTime();
        streams.start();
        if (!running.await(LIMIT.toSeconds(), TimeUnit.SECONDS)) {
            throw new IllegalStateException("not running within " + LIMIT);
        }
        long runningMs = (System.nanoTime() - began) / 1_000_000;
        return new Started(reads(counts), Map.of("runningMs", runningMs, "restoredRecords", restore.records()));
    }

    private static List<Read> reads(boolean counts) {
        var input = new Read(APPLICATION, "webhook.received");
        if (!counts) return List.of(input);
        return List.of(input, new Read(APPLICATION, APPLICATION + "-" + DedupCountTopology.BY_TENANT + "-repartition"));
    }

    /** Leaves its group: by default it stays a member until its session times out, and a new start waits for that. */
    @Override
    public void finish() {
        var leave = CloseOptions.groupMembershipOperation(GroupMembershipOperation.LEAVE_GROUP).withTimeout(LIMIT);
        if (!streams.close(leave)) throw new IllegalStateException("not closed within " + LIMIT);
    }

    private Properties properties(Namespace namespace) {
        var properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, namespace.physical(APPLICATION));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.get("brokers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments.get("state-dir"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments.get("threads", "2"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments.get("commit-ms", "100"));
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return properties;
    }
}
