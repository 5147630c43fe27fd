package io.reachflow.bench.streams;

import io.reachflow.bench.Wire;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** {@link Wire} as Kafka's interface wants it. */
final class WireSerde {
    private WireSerde() {}

    static <T extends SpecificRecord> Serde<T> of(Wire.SchemaSource schema, int schemaId) {
        var wire = new Wire<T>(schema, schemaId);
        return Serdes.serdeFrom(
                (topic, value) -> value == null ? null : wire.encode(value),
                (topic, bytes) -> bytes == null ? null : wire.decode(bytes));
    }
}
