package io.reachflow.connect;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.errors.RetriableException;

/**
 * The two calls of the Confluent registry API that a converter needs. Calls are rare (once per schema), so
 * each retries here, a bounded number of times, before it fails the record.
 */
final class RegistryClient {
  private static final int ATTEMPTS = 5;
  private static final long FIRST_DELAY_MS = 200;
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
  private static final Duration REQUEST_TIMEOUT = Duration.ofSeconds(15);
  private static final String MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";
  private static final ObjectMapper JSON = new ObjectMapper();

  private final HttpClient http =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1)
          .connectTimeout(CONNECT_TIMEOUT)
          .build();
  private final String baseUrl;

  RegistryClient(String baseUrl) {
    this.baseUrl = baseUrl.replaceAll("/+$", "");
  }

  /**
   * Registers the schema under the subject, or finds it there.
   *
   * @return the registry's global id
   * @throws DataException when the registry refuses the schema (409: incompatible with the subject's rule)
   * @throws RetriableException when the registry cannot be reached or fails
   */
  int register(String subject, Schema schema) {
    String path = "/subjects/" + URLEncoder.encode(subject, StandardCharsets.UTF_8) + "/versions";
    return call(post(path, Map.of("schema", textOf(schema))), subject).get("id").asInt();
  }

  /**
   * The schema as JSON. Apicurio (3.0.9 and 3.3.3 alike) refuses a schema with the text {@code "default":"{}"}, what
   * a {@code jsonb DEFAULT '{}'} column gives; the brace as an escape is the same JSON, and is taken.
   */
  private static String textOf(Schema schema) {
    return schema.toString().replace("\"default\":\"{}\"", "\"default\":\"\\u007b}\"");
  }

  /** @throws DataException when the id is unknown; {@link RetriableException} as for {@link #register}. */
  Schema schemaById(int id) {
    String text = call(request("/schemas/ids/" + id).GET().build(), "id " + id).get("schema").asText();
    return new Schema.Parser().parse(text);
  }

  private HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(URI.create(baseUrl + path))
        .timeout(REQUEST_TIMEOUT)
        .header("Content-Type", MEDIA_TYPE);
  }

  private HttpRequest post(String path, Object body) {
    try {
      return request(path)
          .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
          .build();
    } catch (IOException failure) {
      throw new ConnectException("Cannot write the registry request for " + path, failure);
    }
  }

  private JsonNode call(HttpRequest request, String what) {
    Exception last = null;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        if (attempt > 0) {
          Thread.sleep(FIRST_DELAY_MS << (attempt - 1));
        }
        HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() == 200) {
          return JSON.readTree(response.body());
        }
        String answer = "HTTP " + response.statusCode() + ": " + response.body();
        if (response.statusCode() < 500) {
          throw new DataException("The schema registry refused " + what + ": " + answer);
        }
        last = new IOException(answer);
      } catch (IOException failure) {
        last = failure;
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new ConnectException("Interrupted while asking the schema registry", interrupted);
      }
    }
    throw new RetriableException("The schema registry at " + baseUrl + " does not answer", last);
  }
}
