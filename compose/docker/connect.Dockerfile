# Kafka Connect with Debezium and our Avro converter, from the same poms and sources as the embedded stack.
# Build context: compose/
ARG KAFKA_IMAGE=apache/kafka:4.2.1

FROM ${KAFKA_IMAGE} AS kafka

FROM maven:3.9-eclipse-temurin-21 AS plugins
WORKDIR /build
COPY embedded/connect/debezium debezium
RUN mvn -B -ntp -f debezium/pom.xml dependency:unpack \
      -Dreachflow.output=/plugins \
 && rm -rf /plugins/.markers /plugins/.maven \
 && cd /plugins && sha256sum --check --quiet /build/debezium/files.sha256
COPY embedded/connect/converter/pom.xml embedded/connect/converter/files.sha256 converter/
RUN mvn -B -ntp -f converter/pom.xml dependency:copy-dependencies \
      -DincludeScope=runtime -Dreachflow.output=/plugins/reachflow-converter \
 && cd /plugins/reachflow-converter && sha256sum --check --quiet /build/converter/files.sha256
COPY --from=kafka /opt/kafka/libs /kafka-libs
COPY embedded/connect/converter/io converter/io
RUN mkdir -p classes/META-INF/services \
 && echo io.reachflow.connect.ConfluentAvroConverter \
      > classes/META-INF/services/org.apache.kafka.connect.storage.Converter \
 && javac -nowarn --release 17 -d classes -cp "/plugins/reachflow-converter/*:/kafka-libs/*" \
      converter/io/reachflow/connect/*.java \
 && jar --create --file /plugins/reachflow-converter/reachflow-connect-converter.jar -C classes .

FROM ${KAFKA_IMAGE}
COPY --from=plugins /plugins /opt/kafka/plugins
COPY docker/connect-distributed.properties /opt/kafka/config/reachflow-connect.properties
EXPOSE 8083
ENTRYPOINT ["/opt/kafka/bin/connect-distributed.sh", "/opt/kafka/config/reachflow-connect.properties"]
