package io.reachflow.connect;

import io.apicurio.registry.serde.avro.NonRecordContainer;
import io.apicurio.registry.utils.converter.avro.AvroData;
import io.apicurio.registry.utils.converter.avro.AvroDataConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Connect data to and from Avro in Confluent wire format: one zero byte, the schema id as a big-endian
 * int32, the Avro binary value. Subjects follow TopicNameStrategy ({@code <topic>-key}, {@code <topic>-value}).
 *
 * <p>Schemas are registered once and cached by identity, because connectors hand over the same {@link Schema}
 * instance for every row of a table. Each has its {@link ValueWriter}, made once: per record nothing
 * is looked up in the schema, and no Avro object is built.
 *
 * <p>Settings: {@code schema.registry.url} (the Confluent-compatible base, required), and those of
 * {@link AvroDataConfig}. One instance belongs to one task and one of key or value; it is safe to share.
 */
public final class ConfluentAvroConverter implements Converter {
  /** Setting: base of the registry's Confluent-compatible API. */
  public static final String REGISTRY_URL = "schema.registry.url";

  private static final byte MAGIC = 0;
  private static final int HEADER_BYTES = 5;
  private static final int MAX_CACHED_SCHEMAS = 2_000;
  private static final int INITIAL_BYTES = 4_096;
  private static final int MAX_KEPT_BYTES = 1 << 20;

  /** A table's Connect schema in one topic; compares by identity, which is what makes the lookup cheap. */
  private record WriterKey(Schema schema, String topic) {
    @Override
    public boolean equals(Object other) {
      return other instanceof WriterKey key && key.schema == schema && key.topic.equals(topic);
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(schema) * 31 + topic.hashCode();
    }
  }

  /** The same schema by value, for connectors and transforms that build a new instance per record. */
  private record RegisteredKey(org.apache.avro.Schema schema, String subject) {}

  /** @param header what goes before each value: the magic byte and the schema's id. */
  private record Writer(byte[] header, ValueWriter value) {}

  private record Reader(org.apache.avro.Schema schema, GenericDatumReader<Object> datum) {}

  private final Map<WriterKey, Writer> writers = new BoundedCache<>(MAX_CACHED_SCHEMAS);
  private final Map<RegisteredKey, Integer> registered = new BoundedCache<>(MAX_CACHED_SCHEMAS);
  private final Map<Integer, Reader> readers = new BoundedCache<>(MAX_CACHED_SCHEMAS);

  private RegistryClient registry;
  private AvroData avroData;
  private String subjectSuffix;
  private ByteArrayOutputStream buffer;
  /** Writes into the buffer; empty between two values. */
  private BinaryEncoder encoder;
  private BinaryDecoder decoder;

  @Override
  public ConfigDef config() {
    return AvroDataConfig.baseConfigDef()
        .define(
            REGISTRY_URL,
            ConfigDef.Type.STRING,
            ConfigDef.NO_DEFAULT_VALUE,
            ConfigDef.Importance.HIGH,
            "Base URL of the schema registry's Confluent-compatible API.");
  }

  @Override
  public void configure(Map<String, ?> settings, boolean isKey) {
    if (!(settings.get(REGISTRY_URL) instanceof String url) || url.isBlank()) {
      throw new ConfigException(REGISTRY_URL, settings.get(REGISTRY_URL), "is required");
    }
    registry = new RegistryClient(url);
    avroData = new AvroData(new AvroDataConfig(settings));
    subjectSuffix = isKey ? "-key" : "-value";
    renewBuffer();
  }

  /** A null value stays null: a tombstone must reach the topic as one. */
  @Override
  public synchronized byte[] fromConnectData(String topic, Schema schema, Object value) {
    if (value == null) {
      return null;
    }
    Writer writer = writerFor(topic, schema);
    boolean isWritten = false;
    try {
      encoder.writeFixed(writer.header());
      writer.value().write(value, encoder);
      encoder.flush();
      byte[] bytes = buffer.toByteArray();
      isWritten = bytes.length <= MAX_KEPT_BYTES;
      return bytes;
    } catch (IOException | AvroRuntimeException | ClassCastException failure) {
      throw new DataException("Cannot encode a record of " + topic + " as Avro", failure);
    } finally {
      if (isWritten) {
        buffer.reset();
      } else {
        renewBuffer();
      }
    }
  }

  /** After a failure they hold a part of a value, and after a very large one a very large array. */
  private void renewBuffer() {
    buffer = new ByteArrayOutputStream(INITIAL_BYTES);
    encoder = EncoderFactory.get().binaryEncoder(buffer, null);
  }

  @Override
  public synchronized SchemaAndValue toConnectData(String topic, byte[] value) {
    if (value == null) {
      return SchemaAndValue.NULL;
    }
    if (value.length < HEADER_BYTES || value[0] != MAGIC) {
      throw new DataException("A record of " + topic + " is not in Confluent wire format");
    }
    int id = ByteBuffer.wrap(value, 1, Integer.BYTES).getInt();
    Reader reader = readerFor(id);
    try {
      decoder = DecoderFactory.get()
          .binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, decoder);
      return avroData.toConnectData(reader.schema(), reader.datum().read(null, decoder));
    } catch (IOException | AvroRuntimeException failure) {
      throw new DataException("Cannot decode a record of " + topic + " with schema " + id, failure);
    }
  }

  private Writer writerFor(String topic, Schema schema) {
    WriterKey key = new WriterKey(schema, topic);
    Writer cached = writers.get(key);
    if (cached != null) {
      return cached;
    }
    org.apache.avro.Schema avro = avroData.fromConnectSchema(schema);
    RegisteredKey byValue = new RegisteredKey(avro, topic + subjectSuffix);
    Integer id = registered.get(byValue);
    if (id == null) {
      id = registry.register(byValue.subject(), avro);
      registered.put(byValue, id);
    }
    byte[] header = ByteBuffer.allocate(HEADER_BYTES).put(MAGIC).putInt(id).array();
    ValueWriter value = ValueWriters.of(schema, avro).orElseGet(() -> generic(schema, avro));
    Writer writer = new Writer(header, value);
    writers.put(key, writer);
    return writer;
  }

  /** By way of Avro's own objects, for every schema there is. */
  private ValueWriter generic(Schema schema, org.apache.avro.Schema avro) {
    GenericDatumWriter<Object> writer = new GenericDatumWriter<>(avro);
    return (value, out) -> {
      Object datum = avroData.fromConnectData(schema, value);
      writer.write(datum instanceof NonRecordContainer<?> container ? container.getValue() : datum, out);
    };
  }

  private Reader readerFor(int id) {
    Reader cached = readers.get(id);
    if (cached != null) {
      return cached;
    }
    org.apache.avro.Schema schema = registry.schemaById(id);
    Reader reader = new Reader(schema, new GenericDatumReader<>(schema));
    readers.put(id, reader);
    return reader;
  }
}
