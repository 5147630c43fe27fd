package io.reachflow.bench.camel;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import org.apache.camel.Exchange;
import org.apache.camel.Message;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.kafka.KafkaConstants;
import org.apache.camel.main.BaseMainSupport;
import org.apache.camel.main.Main;
import org.apache.camel.main.MainListenerSupport;
import org.apache.camel.spi.HeaderFilterStrategy;

/**
 * A webhook ingestor of Apache Camel: the same check, the same acks as Reachflow's; the body goes to the topic as it is,
 * under its own id. Arguments: brokers, topic, secret. Prints "ready &lt;url&gt;" once it listens.
 */
public final class CamelPeer {
  private static final String FROM =
      "platform-http:/webhooks/ingest/shop?httpMethodRestrict=POST";

  private CamelPeer() {}

  public static void main(String[] args) throws Exception {
    String brokers = args[0];
    String topic = args[1];
    String secret = args[2];
    int port = freePort();
    Main main = new Main();
    main.configure()
        .withJmxEnabled(false)
        .withStreamCachingEnabled(false)
        .withUseMdcLogging(false)
        .withExchangeFactory("pooled");
    main.bind("noHeaders", new NoHeaders());
    main.configure().httpServer().withEnabled(true).withHost("127.0.0.1").withPort(port);
    main.configure().addRoutesBuilder(new Ingest(producer(brokers, topic), secret));
    main.addMainListener(
        new MainListenerSupport() {
          @Override
          public void afterStart(BaseMainSupport started) {
            System.out.println("ready http://127.0.0.1:" + port);
          }
        });
    main.run();
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  private static String producer(String brokers, String topic) {
    return "kafka:" + topic + "?brokers=" + brokers
        + "&requestRequiredAcks=all&enableIdempotence=true&lingerMs=5&producerBatchSize=262144"
        + "&valueSerializer=org.apache.kafka.common.serialization.ByteArraySerializer"
        + "&recordMetadata=false&useIterator=false&headerFilterStrategy=#noHeaders";
  }

  /** By default each HTTP header would become a header of the record. */
  private static final class NoHeaders implements HeaderFilterStrategy {
    @Override
    public boolean applyFilterToCamelHeaders(String name, Object value, Exchange exchange) {
      return true;
    }

    @Override
    public boolean applyFilterToExternalHeaders(String name, Object value, Exchange exchange) {
      return true;
    }
  }

  private static final class Ingest extends RouteBuilder {
    private final String to;
    private final Signature signature;
    private final ObjectMapper json = new ObjectMapper();

    Ingest(String to, String secret) {
      this.to = to;
      this.signature = new Signature(secret);
    }

    @Override
    public void configure() {
      onException(Exception.class)
          .handled(true)
          .process(exchange -> answer(exchange, 503, "not stored"));
      from(FROM).process(this::check).to(to).process(this::accepted);
    }

    private void check(Exchange exchange) {
      Message message = exchange.getMessage();
      byte[] body = message.getBody(byte[].class);
      String delivery = message.getHeader("x-reachflow-delivery", String.class);
      String event = message.getHeader("x-reachflow-event", String.class);
      String header = message.getHeader("x-reachflow-signature", String.class);
      if (body == null || !signature.isValid(header, delivery, event, body)) {
        refuse(exchange, 401, "not signed");
        return;
      }
      try {
        JsonNode found = json.readTree(body);
        message.setHeader(KafkaConstants.KEY, "acme:" + found.path("id").asText());
        message.setBody(body);
      } catch (JsonProcessingException e) {
        refuse(exchange, 400, "not JSON");
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    private void accepted(Exchange exchange) {
      String delivery =
          exchange.getMessage().getHeader("x-reachflow-delivery", String.class);
      answer(
          exchange, 202, "{\"event_id\":\"shop:" + delivery + "\",\"status\":\"accepted\"}");
    }

    private static void refuse(Exchange exchange, int status, String text) {
      answer(exchange, status, text);
      exchange.setRouteStop(true);
    }

    /** Nothing of the request is sent back. */
    private static void answer(Exchange exchange, int status, String text) {
      Message message = exchange.getMessage();
      message.removeHeaders("*");
      message.setHeader(Exchange.HTTP_RESPONSE_CODE, status);
      message.setBody(text);
    }
  }
}
