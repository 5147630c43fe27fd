package io.reachflow.connect;

import java.io.IOException;
import org.apache.avro.io.Encoder;
import org.apache.kafka.connect.errors.DataException;

/** Writes Connect values of one schema as Avro. Holds nothing of a value, so that it can be shared. */
@FunctionalInterface
interface ValueWriter {
  /**
   * @param value as the schema says; null only where it is optional
   * @throws DataException when the value is not of the schema; what has been written of it is of no use then
   * @throws ClassCastException the same
   */
  void write(Object value, Encoder out) throws IOException;
}
