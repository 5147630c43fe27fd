package io.reachflow.bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.function.Supplier;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecord;

/**
 * One record type in Confluent wire format: byte 0, the schema id as a big-endian int32, the Avro body. Encoders,
 * decoders and buffers are kept per thread, so it allocates as little as a serde of Confluent's or less.
 */
public final class Wire<T extends SpecificRecord> implements Serializable {
    private static final int HEADER_BYTES = 5;

    /** A supplier that can be sent to other processes, as Flink does with functions. */
    public interface SchemaSource extends Supplier<Schema>, Serializable {}

    private final SchemaSource schema;
    private final int schemaId;
    private transient ThreadLocal<Coder<T>> coders;

    /** @param schemaId written by {@link #encode}; {@link #decode} takes any, written with the same schema. */
    public Wire(SchemaSource schema, int schemaId) {
        this.schema = schema;
        this.schemaId = schemaId;
    }

    public byte[] encode(T value) {
        return coder().encode(value, schemaId);
    }

    public T decode(byte[] framed) {
        return coder().decode(framed);
    }

    private Coder<T> coder() {
        ThreadLocal<Coder<T>> mine = coders;
        if (mine == null) {
            synchronized (this) {
                if (coders == null) coders = ThreadLocal.withInitial(() -> new Coder<>(schema.get()));
                mine = coders;
            }
        }
        return mine.get();
    }

    private static final class Coder<T> {
        private final SpecificDatumReader<T> reader;
        private final SpecificDatumWriter<T> writer;
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
        private BinaryDecoder decoder;
        private BinaryEncoder encoder;

        Coder(Schema schema) {
            reader = new SpecificDatumReader<>(schema);
            writer = new SpecificDatumWriter<>(schema);
        }

        byte[] encode(T value, int schemaId) {
            try {
                bytes.reset();
                bytes.write(0);
                bytes.writeBytes(ByteBuffer.allocate(4).putInt(schemaId).array());
                encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
                writer.write(value, encoder);
                encoder.flush();
                return bytes.toByteArray();
            } catch (IOException impossible) {
                throw new UncheckedIOException(impossible);
            }
        }

        T decode(byte[] framed) {
            try {
                int length = framed.length - HEADER_BYTES;
                decoder = DecoderFactory.get().binaryDecoder(framed, HEADER_BYTES, length, decoder);
                return reader.read(null, decoder);
            } catch (IOException malformed) {
                throw new UncheckedIOException(malformed);
            }
        }
    }
}
