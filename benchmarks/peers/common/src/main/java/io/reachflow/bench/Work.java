package io.reachflow.bench;

import java.util.List;
import java.util.Map;

/** The work of a peer, begun and ended by the harness: see {@link Protocol}. */
public interface Work {
    /** A consumer group and a topic it reads, without the namespace: at the end of each, the work is done. */
    record Read(String group, String topic) {}

    /** What runs now, and figures of its start. */
    record Started(List<Read> reads, Map<String, Long> figures) {}

    /** Begins to work on the topics of a namespace. Returns when all tasks run. */
    Started start(Namespace namespace) throws Exception;

    /** Ends what {@link #start} began: all of it committed, nothing left running. */
    void finish() throws Exception;
}
