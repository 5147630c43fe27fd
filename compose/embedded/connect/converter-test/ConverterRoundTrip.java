import io.reachflow.connect.ConfluentAvroConverter;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.DataException;

/**
 * Drives the converter against a real registry, both ways. Arguments: registry URL, topic. Ends with exit 1 at
 * the first difference; prints the encoded value in hex, for a reader of another make.
 */
public final class ConverterRoundTrip {
  private static final Schema ADDRESS =
      SchemaBuilder.struct().name("test.Address").field("city", Schema.STRING_SCHEMA).optional().build();

  private static SchemaBuilder contact() {
    return SchemaBuilder.struct()
        .name("test.Contact")
        .field("id", Schema.INT64_SCHEMA)
        .field("name", Schema.OPTIONAL_STRING_SCHEMA)
        .field("score", Schema.OPTIONAL_FLOAT64_SCHEMA)
        .field("raw", Schema.OPTIONAL_BYTES_SCHEMA)
        .field("tags", SchemaBuilder.array(Schema.STRING_SCHEMA).build())
        .field("props", SchemaBuilder.map(Schema.STRING_SCHEMA, Schema.INT32_SCHEMA).build())
        .field("amount", Decimal.schema(4))
        .field("at", Timestamp.SCHEMA)
        .field("address", ADDRESS);
  }

  public static void main(String[] args) {
    String topic = args[1];
    ConfluentAvroConverter converter = newConverter(args[0]);
    Schema schema = contact().build();
    Struct value = fill(new Struct(schema));

    byte[] encoded = converter.fromConnectData(topic, schema, value);
    check(encoded[0] == 0, "the first byte is the magic byte");
    int id = ByteBuffer.wrap(encoded, 1, 4).getInt();
    check(id > 0, "the id follows in four bytes");

    // Another instance has nothing cached: it must find the schema in the registry.
    SchemaAndValue decoded = newConverter(args[0]).toConnectData(topic, encoded);
    Struct back = (Struct) decoded.value();
    for (var field : schema.fields()) {
      check(same(back.get(field.name()), value.get(field.name())), "field " + field.name());
    }
    // Not the same schema instance, as from a transform: the same id all the same.
    Schema rebuilt = contact().build();
    byte[] again = converter.fromConnectData(topic, rebuilt, fill(new Struct(rebuilt)));
    check(ByteBuffer.wrap(again, 1, 4).getInt() == id, "an equal schema has the same id");

    check(converter.fromConnectData(topic, schema, null) == null, "a tombstone stays null");
    check(converter.toConnectData(topic, null).value() == null, "and comes back as null");
    refused("foreign bytes", () -> converter.toConnectData(topic, new byte[] {1, 2, 3, 4, 5, 6}));
    refused("a short record", () -> converter.toConnectData(topic, new byte[] {0, 1}));
    refused("an unknown id", () ->
        converter.toConnectData(topic, new byte[] {0, 0x7f, 0x7f, 0x7f, 0x7f, 0}));
    Schema incompatible = SchemaBuilder.struct().name("test.Contact")
        .field("id", Schema.INT64_SCHEMA).field("added", Schema.STRING_SCHEMA).build();
    Struct other = new Struct(incompatible).put("id", 1L).put("added", "x");
    refused("an incompatible schema", () -> converter.fromConnectData(topic, incompatible, other));

    // Half of it was written when it failed: nothing of that may go before the next record.
    Struct partial = new Struct(schema).put("id", 1L).put("name", "x".repeat(10_000));
    refused("a row without its required fields", () -> converter.fromConnectData(topic, schema, partial));
    check(Arrays.equals(converter.fromConnectData(topic, schema, value), encoded), "and the next is whole");

    StringBuilder hex = new StringBuilder();
    for (byte one : encoded) {
      hex.append(String.format("%02x", one));
    }
    System.out.println(hex);
  }

  private static ConfluentAvroConverter newConverter(String url) {
    ConfluentAvroConverter converter = new ConfluentAvroConverter();
    converter.configure(Map.of("schema.registry.url", url + "/"), false);
    return converter;
  }

  private static Struct fill(Struct struct) {
    return struct
        .put("id", -1_234_567_890_123L)
        .put("name", "Zoë 李")
        .put("score", null)
        .put("raw", ByteBuffer.wrap(new byte[] {0, -1, 127}))
        .put("tags", List.of("a", ""))
        .put("props", Map.of("x", -1))
        .put("amount", new BigDecimal("-12345.6789"))
        .put("at", new Date(1_767_225_600_123L))
        .put("address", new Struct(ADDRESS).put("city", "Genève"));
  }

  private static boolean same(Object left, Object right) {
    if (left instanceof Struct one && right instanceof Struct other) {
      return one.schema().fields().stream()
          .allMatch(field -> same(one.get(field.name()), other.get(field.name())));
    }
    return left == null ? right == null : left.equals(right);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      System.err.println("Does not hold: " + what);
      System.exit(1);
    }
  }

  private static void refused(String what, Runnable call) {
    try {
      call.run();
    } catch (DataException expected) {
      return;
    }
    check(false, what + " is refused with a DataException");
  }
}
