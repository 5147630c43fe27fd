package io.reachflow.bench.streams;

import io.reachflow.bench.Events;
import io.reachflow.bench.Namespace;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import reachflow.event.EventRecorded;
import reachflow.webhook.WebhookReceived;

/** T0: decode, filter, map, encode. */
final class FilterTopology {
    private FilterTopology() {}

    static Topology build(Namespace namespace) {
        var webhooks = WireSerde.<WebhookReceived>of(WebhookReceived::getClassSchema, 0);
        var events = WireSerde.<EventRecorded>of(EventRecorded::getClassSchema, namespace.eventSchemaId());
        var builder = new StreamsBuilder();
        builder.stream(namespace.input(), Consumed.with(Serdes.String(), webhooks))
                .filter((key, webhook) -> !webhook.getEventType().equals(Events.DROPPED_TYPE))
                .mapValues(Events::recorded)
                .to(namespace.events(), Produced.with(Serdes.String(), events));
        return builder.build();
    }
}
