package io.reachflow.connect;

import io.apicurio.registry.utils.converter.avro.AvroData;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.apache.avro.Schema.Type;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.DataException;

/**
 * Makes a writer for a Connect schema and the Avro schema that {@link AvroData} gives for it, once per schema: per
 * value nothing is looked up by name, and no Avro object is built in between.
 *
 * <p>The bytes are those of {@link AvroData#fromConnectData} written by Avro's GenericDatumWriter. Where the two
 * schemas are not alike in the plain way (unions held as structs, enums, fixed, maps whose keys are no strings,
 * schemas that contain themselves), there is no such writer, and the generic way remains.
 */
final class ValueWriters {
  /** Nesting beyond which a schema is left to the generic way: one that contains itself has no end. */
  private static final int MAX_DEPTH = 32;

  /** How {@link AvroData} represents the logical types of Connect. */
  private static final Map<String, Class<?>> LOGICAL =
      Map.of(
          Decimal.LOGICAL_NAME, BigDecimal.class,
          Date.LOGICAL_NAME, java.util.Date.class,
          Time.LOGICAL_NAME, java.util.Date.class,
          Timestamp.LOGICAL_NAME, java.util.Date.class);

  private ValueWriters() {}

  /** Empty where the generic way has to be taken. */
  static Optional<ValueWriter> of(Schema schema, org.apache.avro.Schema avro) {
    return Optional.ofNullable(schema == null ? null : optional(schema, avro, 0));
  }

  /** Null where there is none, as for all below. */
  private static ValueWriter optional(Schema schema, org.apache.avro.Schema avro, int depth) {
    if (depth > MAX_DEPTH) {
      return null;
    }
    if (!schema.isOptional()) {
      return required(plain(schema, avro, depth));
    }
    List<org.apache.avro.Schema> branches = avro.isUnion() ? avro.getTypes() : List.of();
    int nullIndex = branches.size() == 2 ? avro.getIndexNamed("null") : -1;
    if (nullIndex < 0) {
      return null;
    }
    int index = 1 - nullIndex;
    ValueWriter some = plain(schema, branches.get(index), depth);
    return some == null
        ? null
        : (value, out) -> {
          if (value == null) {
            out.writeIndex(nullIndex);
            out.writeNull();
          } else {
            out.writeIndex(index);
            some.write(value, out);
          }
        };
  }

  private static ValueWriter required(ValueWriter writer) {
    return writer == null
        ? null
        : (value, out) -> {
          if (value == null) {
            throw new DataException("Found null value for non-optional schema");
          }
          writer.write(value, out);
        };
  }

  /** For values that are not null. */
  private static ValueWriter plain(Schema schema, org.apache.avro.Schema avro, int depth) {
    ValueWriter writer = physical(schema, avro, depth);
    Class<?> logical = schema.name() == null ? null : LOGICAL.get(schema.name());
    if (writer == null || logical == null) {
      return writer;
    }
    Function<Object, Object> convert = representation(schema);
    return (value, out) -> {
      if (!logical.isInstance(value)) {
        throw new DataException("Invalid type for " + schema.name() + ": " + value.getClass());
      }
      writer.write(convert.apply(value), out);
    };
  }

  private static Function<Object, Object> representation(Schema schema) {
    return switch (schema.name()) {
      case Decimal.LOGICAL_NAME -> value -> Decimal.fromLogical(schema, (BigDecimal) value);
      case Date.LOGICAL_NAME -> value -> Date.fromLogical(schema, (java.util.Date) value);
      case Time.LOGICAL_NAME -> value -> Time.fromLogical(schema, (java.util.Date) value);
      default -> value -> Timestamp.fromLogical(schema, (java.util.Date) value);
    };
  }

  private static ValueWriter physical(Schema schema, org.apache.avro.Schema avro, int depth) {
    Type type = avro.getType();
    return switch (schema.type()) {
      case INT8 -> type == Type.INT ? (value, out) -> out.writeInt((Byte) value) : null;
      case INT16 -> type == Type.INT ? (value, out) -> out.writeInt((Short) value) : null;
      case INT32 -> type == Type.INT ? (value, out) -> out.writeInt((Integer) value) : null;
      case INT64 -> type == Type.LONG ? (value, out) -> out.writeLong((Long) value) : null;
      case FLOAT32 -> type == Type.FLOAT ? (value, out) -> out.writeFloat((Float) value) : null;
      case FLOAT64 -> type == Type.DOUBLE ? (value, out) -> out.writeDouble((Double) value) : null;
      case BOOLEAN -> type == Type.BOOLEAN ? (value, out) -> out.writeBoolean((Boolean) value) : null;
      case STRING -> type == Type.STRING ? (value, out) -> out.writeString((String) value) : null;
      case BYTES -> type == Type.BYTES ? bytes() : null;
      case ARRAY -> type == Type.ARRAY ? array(schema, avro, depth) : null;
      case MAP -> type == Type.MAP ? map(schema, avro, depth) : null;
      case STRUCT -> type == Type.RECORD ? struct(schema, avro, depth) : null;
    };
  }

  private static ValueWriter bytes() {
    return (value, out) -> {
      if (value instanceof byte[] array) {
        out.writeBytes(array);
      } else {
        // Writing may move the position of a buffer, which is the record's.
        out.writeBytes(((ByteBuffer) value).duplicate());
      }
    };
  }

  private static ValueWriter array(Schema schema, org.apache.avro.Schema avro, int depth) {
    ValueWriter item = optional(schema.valueSchema(), avro.getElementType(), depth + 1);
    return item == null
        ? null
        : (value, out) -> {
          Collection<?> items = (Collection<?>) value;
          out.writeArrayStart();
          out.setItemCount(items.size());
          for (Object one : items) {
            out.startItem();
            item.write(one, out);
          }
          out.writeArrayEnd();
        };
  }

  private static ValueWriter map(Schema schema, org.apache.avro.Schema avro, int depth) {
    ValueWriter entryValue = optional(schema.valueSchema(), avro.getValueType(), depth + 1);
    return entryValue == null
        ? null
        : (value, out) -> {
          // In the order that AvroData gives them: of a map filled one by one.
          Map<Object, Object> entries = new HashMap<>();
          ((Map<?, ?>) value).forEach(entries::put);
          out.writeMapStart();
          out.setItemCount(entries.size());
          for (Map.Entry<Object, Object> entry : entries.entrySet()) {
            out.startItem();
            out.writeString((String) entry.getKey());
            entryValue.write(entry.getValue(), out);
          }
          out.writeMapEnd();
        };
  }

  private static ValueWriter struct(Schema schema, org.apache.avro.Schema avro, int depth) {
    Field[] fields = schema.fields().toArray(new Field[0]);
    List<org.apache.avro.Schema.Field> avroFields = avro.getFields();
    if (fields.length != avroFields.size()) {
      return null;
    }
    ValueWriter[] writers = new ValueWriter[fields.length];
    for (int i = 0; i < fields.length; i++) {
      // Not so for one that shares its name with another: AvroData takes the first of them for both.
      if (!fields[i].name().equals(avroFields.get(i).name())) {
        return null;
      }
      writers[i] = optional(fields[i].schema(), avroFields.get(i).schema(), depth + 1);
      if (writers[i] == null) {
        return null;
      }
    }
    return (value, out) -> {
      Struct struct = (Struct) value;
      if (struct.schema() != schema && !struct.schema().equals(schema)) {
        throw new DataException("Mismatching struct schema");
      }
      for (int i = 0; i < fields.length; i++) {
        writers[i].write(struct.get(fields[i]), out);
      }
    };
  }
}
