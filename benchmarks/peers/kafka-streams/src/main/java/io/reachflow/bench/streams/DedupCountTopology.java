package io.reachflow.bench.streams;

import io.reachflow.bench.Events;
import io.reachflow.bench.Namespace;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.WindowStore;
import reachflow.event.EventRecorded;
import reachflow.metric.TenantCount;
import reachflow.webhook.WebhookReceived;

/** T1: each event id once, and a count per tenant and minute of event time. */
final class DedupCountTopology {
    static final String BY_TENANT = "by-tenant";
    private static final TimeWindows WINDOWS =
            TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofSeconds(30));
    /** All that counting needs: key and timestamp say the rest. */
    private static final byte[] ONE = {1};

    private DedupCountTopology() {}

    /**
     * @param store where ids are kept: {@code window} expires them after 24 h, {@code key-value} never does
     * @param group what the repartition topic carries: {@code lean}, a byte, all that counting needs; {@code event}, the
     *     whole event, as {@code groupBy} of the documentation's examples does
     * @param emit {@code updates} emits a window whenever it changed, {@code suppress} once, when it closes
     */
    static Topology build(Namespace namespace, String store, String group, String emit) {
        var webhooks = WireSerde.<WebhookReceived>of(WebhookReceived::getClassSchema, 0);
        var recorded = WireSerde.<EventRecorded>of(EventRecorded::getClassSchema, namespace.eventSchemaId());
        var counted = WireSerde.<TenantCount>of(TenantCount::getClassSchema, namespace.countSchemaId());
        var builder = new StreamsBuilder();
        KStream<String, EventRecorded> events = builder.stream(
                        namespace.input(),
                        Consumed.with(Serdes.String(), webhooks)
                                .withTimestampExtractor((record, partitionTime) ->
                                        Events.occurredAt((WebhookReceived) record.value())))
                .processValues(Dedup.of(store))
                .mapValues(Events::recorded);
        events.to(namespace.events(), Produced.with(Serdes.String(), recorded));
        KGroupedStream<String, ?> byTenant = group.equals("lean")
                ? events.map((key, event) -> KeyValue.pair(event.getTenantId(), ONE))
                        .groupByKey(Grouped.with(BY_TENANT, Serdes.String(), Serdes.ByteArray()))
                : events.groupBy(
                        (key, event) -> event.getTenantId(), Grouped.with(BY_TENANT, Serdes.String(), recorded));
        counts(byTenant, emit)
                .toStream((window, count) -> window.key())
                .to(namespace.counts(), Produced.with(Serdes.String(), counted));
        return builder.build();
    }

    private static KTable<Windowed<String>, TenantCount> counts(KGroupedStream<String, ?> byTenant, String emit) {
        KTable<Windowed<String>, Long> counts = byTenant.windowedBy(WINDOWS)
                .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts")
                        .withKeySerde(Serdes.String())
                        .withValueSerde(Serdes.Long()));
        if (emit.equals("suppress")) {
            counts = counts.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
        }
        return counts.mapValues((window, count) -> new TenantCount(
                window.key(), window.window().startTime(), window.window().endTime(), count, count));
    }
}
