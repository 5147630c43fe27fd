package io.reachflow.bench.streams;

import java.time.Duration;
import java.util.Set;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import reachflow.webhook.WebhookReceived;

/** Forwards a webhook when its event id was not seen within 24 h of its event time. */
final class Dedup implements FixedKeyProcessor<String, WebhookReceived, WebhookReceived> {
    private static final String STORE = "seen";
    private static final Duration TTL = Duration.ofHours(24);

    /** Remembers an id; says whether it was known. */
    private interface Seen {
        boolean test(String id, long at);
    }

    private final Function<StateStore, Seen> open;
    private FixedKeyProcessorContext<String, WebhookReceived> context;
    private Seen seen;

    private Dedup(Function<StateStore, Seen> open) {
        this.open = open;
    }

    static FixedKeyProcessorSupplier<String, WebhookReceived, WebhookReceived> of(String store) {
        return switch (store) {
            case "window" -> supplier(
                    Stores.windowStoreBuilder(
                            Stores.persistentWindowStore(STORE, TTL, TTL, false), Serdes.String(), Serdes.Long()),
                    Dedup::inWindowStore);
            case "key-value" -> supplier(
                    Stores.keyValueStoreBuilder(
                            Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.Long()),
                    Dedup::inKeyValueStore);
            default -> throw new IllegalArgumentException("no such store: " + store);
        };
    }

    private static FixedKeyProcessorSupplier<String, WebhookReceived, WebhookReceived> supplier(
            StoreBuilder<?> store, Function<StateStore, Seen> open) {
        return new FixedKeyProcessorSupplier<>() {
            @Override
            public FixedKeyProcessor<String, WebhookReceived, WebhookReceived> get() {
                return new Dedup(open);
            }

            @Override
            public Set<StoreBuilder<?>> stores() {
                return Set.of(store);
            }
        };
    }

    @SuppressWarnings("unchecked")
    private static Seen inWindowStore(StateStore opened) {
        var store = (WindowStore<String, Long>) opened;
        return (id, at) -> {
            try (var found = store.fetch(id, at - TTL.toMillis(), at + TTL.toMillis())) {
                if (found.hasNext()) return true;
            }
            store.put(id, at, at);
            return false;
        };
    }

    @SuppressWarnings("unchecked")
    private static Seen inKeyValueStore(StateStore opened) {
        var store = (KeyValueStore<String, Long>) opened;
        return (id, at) -> {
            Long before = store.get(id);
            if (before != null && Math.abs(at - before) < TTL.toMillis()) return true;
            store.put(id, at);
            return false;
        };
    }

    @Override
    public void init(FixedKeyProcessorContext<String, WebhookReceived> context) {
        this.context = context;
        seen = open.apply(context.getStateStore(STORE));
    }

    @Override
    public void process(FixedKeyRecord<String, WebhookReceived> record) {
        if (!seen.test(record.value().getEventId(), record.timestamp())) context.forward(record);
    }
}
