package io.reachflow.bench.flink;

import io.reachflow.bench.Events;
import io.reachflow.bench.Wire;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.formats.avro.typeutils.AvroTypeInfo;
import reachflow.event.EventRecorded;
import reachflow.webhook.WebhookReceived;

/** Reads a webhook and maps it at once: only what is recorded travels between tasks. */
final class WebhookDeserializer implements DeserializationSchema<EventRecorded> {
    private final Wire<WebhookReceived> wire = new Wire<>(WebhookReceived::getClassSchema, 0);

    @Override
    public EventRecorded deserialize(byte[] framed) {
        return Events.recorded(wire.decode(framed));
    }

    @Override
    public boolean isEndOfStream(EventRecorded event) {
        return false;
    }

    @Override
    public TypeInformation<EventRecorded> getProducedType() {
        return new AvroTypeInfo<>(EventRecorded.class);
    }
}
