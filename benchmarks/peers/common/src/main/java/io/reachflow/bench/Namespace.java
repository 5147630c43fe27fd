package io.reachflow.bench;

/** Where a run reads and writes. Schema ids are given, so that no registry client takes part. */
public record Namespace(String name, int eventSchemaId, int countSchemaId) {
    public String input() {
        return physical("webhook.received");
    }

    public String events() {
        return physical("event.recorded");
    }

    public String counts() {
        return physical("metric.tenant.count");
    }

    /** A topic, group or transactional id on the broker. */
    public String physical(String logical) {
        return name + "." + logical;
    }
}
