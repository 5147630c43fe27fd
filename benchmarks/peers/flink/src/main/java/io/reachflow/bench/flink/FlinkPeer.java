package io.reachflow.bench.flink;

import io.reachflow.bench.Arguments;
import io.reachflow.bench.Namespace;
import io.reachflow.bench.Protocol;
import io.reachflow.bench.Work;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** Flink's embedded cluster as the harness runs it: RocksDB, a checkpoint a second, exactly once to Kafka. */
public final class FlinkPeer implements Work {
    private static final long LIMIT_SECONDS = 300;

    private final Arguments arguments;
    private JobClient job;

    private FlinkPeer(Arguments arguments) {
        this.arguments = arguments;
    }

    public static void main(String[] given) {
        Protocol.serve(new FlinkPeer(new Arguments(given)));
    }

    @Override
    public Started start(Namespace namespace) throws Exception {
        int parallelism = Integer.parseInt(arguments.get("threads", "2"));
        long began = System.nanoTime();
        var environment = StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration(namespace));
        DedupCountJob.build(environment, namespace, arguments.get("brokers"));
        job = environment.executeAsync("bench");
        while (job.getJobStatus().get(LIMIT_SECONDS, TimeUnit.SECONDS) != JobStatus.RUNNING) Thread.sleep(5);
        long runningMs = (System.nanoTime() - began) / 1_000_000;
        return new Started(
                List.of(new Read(DedupCountJob.GROUP, "webhook.received")), Map.of("runningMs", runningMs));
    }

    /** Stops with what is open flushed: the last windows close, and everything is committed. */
    @Override
    public void finish() throws Exception {
        String directory = directory("savepoints").toUri().toString();
        job.stopWithSavepoint(true, directory, SavepointFormatType.NATIVE).get(LIMIT_SECONDS, TimeUnit.SECONDS);
        job.getJobExecutionResult().get(LIMIT_SECONDS, TimeUnit.SECONDS);
    }

    private Configuration configuration(Namespace namespace) {
        var configuration = new Configuration();
        configuration.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
        configuration.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
        configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofSeconds(1));
        configuration.set(CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE, CheckpointingMode.EXACTLY_ONCE);
        configuration.set(
                CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                directory("checkpoints").resolve(namespace.name()).toUri().toString());
        configuration.set(
                CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION,
                ExternalizedCheckpointRetention.DELETE_ON_CANCELLATION);
        configuration.set(PipelineOptions.OBJECT_REUSE, true);
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
        return configuration;
    }

    private Path directory(String name) {
        return Path.of(arguments.get("state-dir"), name).toAbsolutePath();
    }
}
