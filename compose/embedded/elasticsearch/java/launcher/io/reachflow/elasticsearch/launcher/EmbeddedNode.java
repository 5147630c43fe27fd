package io.reachflow.elasticsearch.launcher;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Runs one Elasticsearch node in this JVM until SIGTERM. Elasticsearch's own launcher is part of its
 * distribution, which is not published as jars; this is the part of it that a development node needs.
 *
 * <p>Arguments: the home directory (with {@code modules/} and {@code plugins/}), and the directory of
 * {@code elasticsearch.yml} and {@code log4j2.properties}.
 */
public final class EmbeddedNode {
  private EmbeddedNode() {}

  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]).toAbsolutePath();
    Path config = Path.of(args[1]).toAbsolutePath();

    // Before any other Elasticsearch class: their static loggers need a configured Log4j.
    LogConfigurator.configureESLogging();
    LogConfigurator.registerErrorListener();
    Settings base = Settings.builder().put(Environment.PATH_HOME_SETTING.getKey(), home.toString()).build();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(base, Map.of(), config, () -> "embedded");
    LogConfigurator.setNodeName(environment.settings().get("node.name"));
    LogConfigurator.configure(environment, true);

    PluginsLoader plugins =
        PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir(), false),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir(), false),
            Map.of());
    Node node = new Node(environment, plugins);
    CountDownLatch closed = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node, closed), "close-node"));
    node.start();
    closed.await();
  }

  private static void close(Node node, CountDownLatch closed) {
    try {
      node.close();
    } catch (IOException failure) {
      failure.printStackTrace();
    } finally {
      closed.countDown();
    }
  }
}
