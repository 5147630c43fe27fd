package io.reachflow.bench.flink;

import io.reachflow.bench.Namespace;
import io.reachflow.bench.Wire;
import java.time.Duration;
import java.time.Instant;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.formats.avro.typeutils.AvroTypeInfo;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerConfig;
import reachflow.event.EventRecorded;
import reachflow.metric.TenantCount;

/** T1: each event id once, and a count per tenant and minute of event time, when the minute closes. */
final class DedupCountJob {
    static final String GROUP = "bench";
    private static final Duration WINDOW = Duration.ofMinutes(1);
    /** The watermark stays so far behind: an event is late once its window's end is. */
    private static final Duration GRACE = Duration.ofSeconds(30);
    private static final Duration TTL = Duration.ofHours(24);

    private DedupCountJob() {}

    static void build(StreamExecutionEnvironment environment, Namespace namespace, String brokers) {
        var source = KafkaSource.<EventRecorded>builder()
                .setBootstrapServers(brokers)
                .setTopics(namespace.input())
                .setGroupId(namespace.physical(GROUP))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setValueOnlyDeserializer(new WebhookDeserializer())
                .build();
        var time = WatermarkStrategy.<EventRecorded>forBoundedOutOfOrderness(GRACE)
                .withTimestampAssigner((event, kafkaTime) -> event.getOccurredAt().toEpochMilli());
        DataStream<EventRecorded> events = environment
                .fromSource(source, time, "webhooks", new AvroTypeInfo<>(EventRecorded.class))
                .keyBy(EventRecorded::getEventId)
                .filter(new FirstOfId(TTL));
        var recorded = new Wire<EventRecorded>(EventRecorded::getClassSchema, namespace.eventSchemaId());
        events.sinkTo(sink(
                namespace,
                brokers,
                "event.recorded",
                new WireSerializer<>(
                        namespace.events(), recorded, event -> event.getTenantId() + ":" + event.getEntityId())));
        var counted = new Wire<TenantCount>(TenantCount::getClassSchema, namespace.countSchemaId());
        events.map(EventRecorded::getTenantId, Types.STRING)
                .keyBy(tenant -> tenant, Types.STRING)
                .window(TumblingEventTimeWindows.of(WINDOW))
                .aggregate(
                        new Count(), new Close(), Types.LONG, Types.LONG, new AvroTypeInfo<>(TenantCount.class))
                .sinkTo(sink(
                        namespace,
                        brokers,
                        "metric.tenant.count",
                        new WireSerializer<>(namespace.counts(), counted, TenantCount::getTenantId)));
    }

    private static <T extends SpecificRecord> KafkaSink<T> sink(
            Namespace namespace, String brokers, String topic, WireSerializer<T> serializer) {
        return KafkaSink.<T>builder()
                .setBootstrapServers(brokers)
                .setRecordSerializer(serializer)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(namespace.physical(GROUP + "." + topic))
                .setProperty(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, "300000")
                .build();
    }

    private static final class Count implements AggregateFunction<String, Long, Long> {
        @Override
        public Long createAccumulator() {
            return 0L;
        }

        @Override
        public Long add(String tenant, Long count) {
            return count + 1;
        }

        @Override
        public Long getResult(Long count) {
            return count;
        }

        @Override
        public Long merge(Long left, Long right) {
            return left + right;
        }
    }

    private static final class Close extends ProcessWindowFunction<Long, TenantCount, String, TimeWindow> {
        @Override
        public void process(String tenant, Context context, Iterable<Long> counts, Collector<TenantCount> out) {
            long count = counts.iterator().next();
            TimeWindow window = context.window();
            out.collect(new TenantCount(
                    tenant,
                    Instant.ofEpochMilli(window.getStart()),
                    Instant.ofEpochMilli(window.getEnd()),
                    count,
                    count));
        }
    }
}
