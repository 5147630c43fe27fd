import io.apicurio.registry.serde.avro.NonRecordContainer;
import io.apicurio.registry.utils.converter.avro.AvroData;
import io.apicurio.registry.utils.converter.avro.AvroDataConfig;
import io.reachflow.connect.ConfluentAvroConverter;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;

/**
 * Compares what the converter writes with what AvroData and Avro's GenericDatumWriter do, byte by byte, over random
 * schemas and values. Arguments: registry URL, prefix of topics, schemas, values of each, seed. Ends with exit 1 at the
 * first difference; prints how many values it compared.
 */
public final class ConverterDifferential {
  private static final int MAX_DEPTH = 3;
  private static final long MS_PER_DAY = 86_400_000L;
  private static final String[] TEXTS = {
    "", "a", "Zoë 李", "\ud83d\ude00", "lone \ud83d", "\u0000", "x".repeat(130), "é".repeat(9_000)
  };

  private final Random random;
  private int names;
  /** Some are used again, as Debezium does for the row before and after. */
  private final List<Schema> structs = new ArrayList<>();

  private ConverterDifferential(long seed) {
    random = new Random(seed);
  }

  public static void main(String[] args) throws Exception {
    int schemas = Integer.parseInt(args[2]);
    int values = Integer.parseInt(args[3]);
    ConfluentAvroConverter converter = new ConfluentAvroConverter();
    converter.configure(Map.of("schema.registry.url", args[0]), false);
    AvroData reference = new AvroData(new AvroDataConfig(Map.of()));
    for (int i = 0; i < schemas; i++) {
      ConverterDifferential one = new ConverterDifferential(Long.parseLong(args[4]) + i);
      // As a whole a value is a row now and then something simpler, such as the key of a queue table.
      Schema schema = i % 5 == 4 ? one.schema(0) : one.struct(0, false);
      for (int j = 0; j < values; j++) {
        Object value = one.value(schema);
        if (value == null) {
          continue;
        }
        byte[] expected = expected(reference, schema, value);
        byte[] encoded = converter.fromConnectData(args[1] + i, schema, value);
        if (!Arrays.equals(expected, Arrays.copyOfRange(encoded, 5, encoded.length))) {
          System.err.println("Schema " + i + ", value " + j + " differs: " + reference.fromConnectSchema(schema));
          System.exit(1);
        }
      }
    }
    System.out.println(schemas * values);
  }

  private static byte[] expected(AvroData reference, Schema schema, Object value) throws Exception {
    Object datum = reference.fromConnectData(schema, value);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
    new GenericDatumWriter<>(reference.fromConnectSchema(schema))
        .write(datum instanceof NonRecordContainer<?> container ? container.getValue() : datum, encoder);
    encoder.flush();
    return bytes.toByteArray();
  }

  private Schema struct(int depth, boolean isOptional) {
    SchemaBuilder builder = SchemaBuilder.struct().name("test.Struct" + names++);
    int count = random.nextInt(depth == 0 ? 12 : 5) + 1;
    for (int i = 0; i < count; i++) {
      builder.field("f" + i, schema(depth + 1));
    }
    Schema schema = (isOptional ? builder.optional() : builder).build();
    structs.add(schema);
    return schema;
  }

  private Schema schema(int depth) {
    boolean isOptional = random.nextBoolean();
    int kind = random.nextInt(depth < MAX_DEPTH ? 20 : 16);
    if (kind == 19) {
      boolean again = !structs.isEmpty() && random.nextBoolean();
      return again ? structs.get(random.nextInt(structs.size())) : struct(depth, isOptional);
    }
    SchemaBuilder builder = switch (kind) {
      case 0 -> SchemaBuilder.int8();
      case 1 -> SchemaBuilder.int16();
      case 2 -> SchemaBuilder.int32();
      case 3 -> SchemaBuilder.int64();
      case 4 -> SchemaBuilder.float32();
      case 5 -> SchemaBuilder.float64();
      case 6 -> SchemaBuilder.bool();
      case 7, 8, 9 -> SchemaBuilder.string();
      case 10 -> SchemaBuilder.bytes();
      case 11 -> Decimal.builder(random.nextInt(6));
      case 12 -> Date.builder();
      case 13 -> Time.builder();
      case 14 -> Timestamp.builder();
      // Debezium's own names and parameters change nothing of the bytes.
      case 15 -> SchemaBuilder.string().name("io.debezium.data.Enum").parameter("allowed", "a,b");
      case 16 -> SchemaBuilder.array(schema(depth + 1));
      case 17 -> SchemaBuilder.map(Schema.STRING_SCHEMA, schema(depth + 1));
      // Not a map in Avro, but an array of entries.
      default -> SchemaBuilder.map(Schema.INT32_SCHEMA, schema(depth + 1));
    };
    boolean hasDefault = (kind == 2 || kind == 7) && random.nextInt(3) == 0;
    if (hasDefault) {
      builder.defaultValue(kind == 2 ? (Object) 7 : "some");
    }
    return (isOptional ? builder.optional() : builder).build();
  }

  private Object value(Schema schema) {
    if (schema.isOptional() && random.nextInt(3) == 0) {
      return null;
    }
    if (schema.name() != null) {
      switch (schema.name()) {
        case Decimal.LOGICAL_NAME:
          int scale = Integer.parseInt(schema.parameters().get(Decimal.SCALE_FIELD));
          return new BigDecimal(new BigInteger(random.nextInt(120), random).subtract(BigInteger.TEN), scale);
        case Date.LOGICAL_NAME:
          return new java.util.Date(MS_PER_DAY * (random.nextInt(60_000) - 30_000));
        case Time.LOGICAL_NAME:
          return new java.util.Date(random.nextInt((int) MS_PER_DAY));
        case Timestamp.LOGICAL_NAME:
          return new java.util.Date(random.nextLong() >> 20);
        default:
      }
    }
    // All lengths of a variable-length number.
    long number = random.nextLong() >> random.nextInt(64);
    return switch (schema.type()) {
      case INT8 -> (byte) number;
      case INT16 -> (short) number;
      case INT32 -> (int) number;
      case INT64 -> number;
      case FLOAT32 -> Float.intBitsToFloat((int) number);
      case FLOAT64 -> Double.longBitsToDouble(number);
      case BOOLEAN -> random.nextBoolean();
      case STRING -> TEXTS[random.nextInt(TEXTS.length)];
      case BYTES -> bytes();
      case ARRAY -> list(schema.valueSchema());
      case MAP -> map(schema);
      case STRUCT -> fill(schema);
    };
  }

  private Object bytes() {
    byte[] bytes = new byte[random.nextInt(200)];
    random.nextBytes(bytes);
    return switch (random.nextInt(4)) {
      case 0 -> ByteBuffer.wrap(bytes);
      case 1 -> ByteBuffer.wrap(bytes, bytes.length / 2, bytes.length / 4).slice();
      case 2 -> ByteBuffer.allocateDirect(5_000 + bytes.length).position(bytes.length);
      default -> bytes;
    };
  }

  private List<Object> list(Schema item) {
    List<Object> list = new ArrayList<>();
    int count = random.nextInt(6);
    for (int i = 0; i < count; i++) {
      list.add(value(item));
    }
    return list;
  }

  private Map<Object, Object> map(Schema schema) {
    Map<Object, Object> map = new LinkedHashMap<>();
    int count = random.nextInt(20);
    for (int i = 0; i < count; i++) {
      boolean isText = schema.keySchema().type() == Schema.Type.STRING;
      map.put(isText ? "k" + random.nextInt(1_000) : (Object) random.nextInt(), value(schema.valueSchema()));
    }
    return map;
  }

  private Struct fill(Schema schema) {
    Struct struct = new Struct(schema);
    for (Field field : schema.fields()) {
      Object value = value(field.schema());
      if (value != null) {
        struct.put(field, value);
      }
    }
    return struct;
  }
}
