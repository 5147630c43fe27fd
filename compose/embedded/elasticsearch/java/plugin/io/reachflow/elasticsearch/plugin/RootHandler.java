package io.reachflow.elasticsearch.plugin;

import java.io.IOException;
import java.util.List;
import java.util.function.Supplier;
import org.apache.lucene.util.Version;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.xcontent.XContentBuilder;

/** {@code GET /} and {@code HEAD /} in the shape of the distribution's own handler: name, ids and versions. */
final class RootHandler extends BaseRestHandler {
  private final Supplier<ClusterService> cluster;

  RootHandler(Supplier<ClusterService> cluster) {
    this.cluster = cluster;
  }

  @Override
  public String getName() {
    return "reachflow_root";
  }

  @Override
  public List<Route> routes() {
    return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
  }

  @Override
  protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
    return this::answer;
  }

  private void answer(RestChannel channel) throws IOException {
    ClusterService service = cluster.get();
    Build build = Build.current();
    try (XContentBuilder json = channel.newBuilder()) {
      json.startObject()
          .field("name", service.localNode().getName())
          .field("cluster_name", service.getClusterName().value())
          .field("cluster_uuid", service.state().metadata().clusterUUID())
          .startObject("version")
          .field("number", build.qualifiedVersion())
          .field("build_flavor", build.flavor())
          .field("build_type", build.type().displayName())
          .field("build_hash", build.hash())
          .field("build_date", build.date())
          .field("build_snapshot", build.isSnapshot())
          .field("lucene_version", Version.LATEST.toString())
          .field("minimum_wire_compatibility_version", build.minWireCompatVersion())
          .field("minimum_index_compatibility_version", build.minIndexCompatVersion())
          .endObject()
          .field("tagline", "You Know, for Search")
          .endObject();
      channel.sendResponse(new RestResponse(RestStatus.OK, json));
    }
  }
}
