package io.reachflow.bench;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What the harness says on standard input, a line each, and what it is answered on standard output, in JSON:
 *
 * <pre>
 * start &lt;namespace&gt; &lt;schema id of events&gt; &lt;schema id of counts&gt;   {"event":"started","reads":[…],"figures":{…}}
 * finish                                                              {"event":"finished"}
 * </pre>
 *
 * The end of the input ends the process. A failure is a stack trace on standard error and exit code 1.
 */
public final class Protocol {
    private Protocol() {}

    public static void serve(Work work) {
        // Libraries print to standard output; only answers may.
        PrintStream answers = System.out;
        System.setOut(System.err);
        try (var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                answers.println(answer(work, line.trim().split(" ")));
                answers.flush();
            }
            Runtime.getRuntime().halt(0);
        } catch (Throwable failure) {
            fail(failure);
        }
    }

    /** For failures in other threads, too. */
    public static void fail(Throwable failure) {
        failure.printStackTrace();
        Runtime.getRuntime().halt(1);
    }

    private static String answer(Work work, String[] words) throws Exception {
        switch (words[0]) {
            case "start" -> {
                var namespace = new Namespace(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                return json(work.start(namespace));
            }
            case "finish" -> {
                work.finish();
                return "{\"event\":\"finished\"}";
            }
            default -> throw new IllegalArgumentException("no such command: " + words[0]);
        }
    }

    private static String json(Work.Started started) {
        String reads = started.reads().stream()
                .map(read -> "{\"group\":\"%s\",\"topic\":\"%s\"}".formatted(read.group(), read.topic()))
                .collect(Collectors.joining(","));
        String figures = started.figures().entrySet().stream()
                .map((Map.Entry<String, Long> figure) -> "\"%s\":%d".formatted(figure.getKey(), figure.getValue()))
                .collect(Collectors.joining(","));
        return "{\"event\":\"started\",\"reads\":[%s],\"figures\":{%s}}".formatted(reads, figures);
    }
}
