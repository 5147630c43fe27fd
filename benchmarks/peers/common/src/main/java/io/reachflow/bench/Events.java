package io.reachflow.bench;

import java.time.Instant;
import reachflow.event.EventRecorded;
import reachflow.webhook.WebhookReceived;

/** The steps that all peers and Reachflow have in common: see benchmarks/topologies.ts. */
public final class Events {
    private Events() {}

    /** T0 drops these: every tenth record. */
    public static final String DROPPED_TYPE = "session.ping";

    public static long occurredAt(WebhookReceived webhook) {
        Instant occurred = webhook.getOccurredAt();
        return (occurred == null ? webhook.getReceivedAt() : occurred).toEpochMilli();
    }

    public static EventRecorded recorded(WebhookReceived webhook) {
        Instant occurred = webhook.getOccurredAt();
        return new EventRecorded(
                webhook.getEventId(),
                webhook.getTenantId(),
                "webhook:" + webhook.getSource(),
                webhook.getEventType(),
                webhook.getEntityId(),
                occurred == null ? webhook.getReceivedAt() : occurred,
                webhook.getReceivedAt(),
                webhook.getPayload());
    }
}
