package io.reachflow.bench;

import java.util.HashMap;
import java.util.Map;

/** Arguments of the form {@code --name value}. */
public final class Arguments {
    private final Map<String, String> values = new HashMap<>();

    public Arguments(String[] given) {
        for (int at = 0; at + 1 < given.length; at += 2) {
            if (!given[at].startsWith("--")) throw new IllegalArgumentException("expected --name, got " + given[at]);
            values.put(given[at].substring(2), given[at + 1]);
        }
        if (given.length % 2 != 0) throw new IllegalArgumentException("no value for " + given[given.length - 1]);
    }

    public String get(String name) {
        String value = values.get(name);
        if (value == null) throw new IllegalArgumentException("--" + name + " is missing");
        return value;
    }

    public String get(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }
}
