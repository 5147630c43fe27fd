package io.reachflow.bench.flink;

import java.time.Duration;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFilterFunction;
import org.apache.flink.api.common.state.StateTtlConfig;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import reachflow.event.EventRecorded;

/** Passes the first event of each id: one bit per key, which expires. */
final class FirstOfId extends RichFilterFunction<EventRecorded> {
    private final Duration ttl;
    private transient ValueState<Boolean> seen;

    FirstOfId(Duration ttl) {
        this.ttl = ttl;
    }

    @Override
    public void open(OpenContext context) {
        var descriptor = new ValueStateDescriptor<>("seen", Types.BOOLEAN);
        descriptor.enableTimeToLive(StateTtlConfig.newBuilder(ttl).build());
        seen = getRuntimeContext().getState(descriptor);
    }

    @Override
    public boolean filter(EventRecorded event) throws Exception {
        if (seen.value() != null) return false;
        seen.update(true);
        return true;
    }
}
