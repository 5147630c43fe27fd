package io.reachflow.bench.flink;

import io.reachflow.bench.Wire;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Records of one topic in Confluent wire format, keyed by text. */
final class WireSerializer<T extends SpecificRecord> implements KafkaRecordSerializationSchema<T> {
    /** A function that Flink can send to its tasks. */
    interface Key<T> extends Function<T, String>, Serializable {}

    private final String topic;
    private final Wire<T> wire;
    private final Key<T> key;

    WireSerializer(String topic, Wire<T> wire, Key<T> key) {
        this.topic = topic;
        this.wire = wire;
        this.key = key;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(T value, KafkaSinkContext context, Long timestamp) {
        byte[] keyBytes = key.apply(value).getBytes(StandardCharsets.UTF_8);
        return new ProducerRecord<>(topic, null, timestamp, keyBytes, wire.encode(value));
    }
}
