import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { EmbeddedComponent } from '../component.ts';
import { jvmFlags } from '../jvm.ts';
import { composeDir } from '../layout.ts';
import { embeddedVersions } from '../versions.ts';

const sources = join(composeDir, 'embedded', 'elasticsearch');

/** One Elasticsearch node from the published jars: no X-Pack, no script engine, no ingest (see the ADR). */
export const elasticsearchComponent: EmbeddedComponent = {
  name: 'elasticsearch',
  version: embeddedVersions.elasticsearch,
  jvm: true,
  units: ['elasticsearch'],
  needs: [],
  stopSignal: 'SIGTERM',
  stopTimeoutMs: 15_000,

  async prepare({ layout, ports }) {
    const conf = layout.confDir('elasticsearch');
    const data = layout.dataDir('elasticsearch');
    await mkdir(conf, { recursive: true });
    await mkdir(join(data, 'snapshots'), { recursive: true });
    const settings = {
      'cluster.name': 'reachflow',
      'node.name': 'embedded',
      'discovery.type': 'single-node',
      'network.host': '127.0.0.1',
      'http.port': ports.elasticsearch,
      'transport.port': ports.elasticsearchTransport,
      'path.data': join(data, 'nodes'),
      'path.logs': join(data, 'logs'),
      'path.repo': [join(data, 'snapshots')],
      // A developer's disk is often fuller than the watermarks that make an index read-only.
      'cluster.routing.allocation.disk.threshold_enabled': false,
    };
    await writeFile(join(conf, 'elasticsearch.yml'), stringify(settings));
    await copyFile(join(sources, 'log4j2.properties'), join(conf, 'log4j2.properties'));
  },

  async command(context) {
    const home = context.home('elasticsearch');
    return {
      file: join(context.jdk().home, 'bin', 'java'),
      args: [
        ...jvmFlags(context, {
          name: 'elasticsearch',
          unit: 'elasticsearch',
          heapMegabytes: 512,
          compiler: 'full',
        }),
        `-Des.path.home=${home}`,
        '-Des.distribution.type=tar',
        // The vector library is part of the distribution only.
        '-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false',
        '-Dio.netty.noUnsafe=true',
        '-Dio.netty.noKeySetOptimization=true',
        '-Dio.netty.allocator.numDirectArenas=0',
        '-Dlog4j2.disable.jmx=true',
        '--enable-native-access=org.elasticsearch.nativeaccess,org.apache.lucene.core',
        '--add-modules=jdk.net,ALL-MODULE-PATH',
        '--add-opens=org.apache.lucene.core/org.apache.lucene.codecs.lucene99=org.elasticsearch.server',
        ...['-p', join(home, 'lib'), '-cp', join(home, 'launcher.jar')],
        'io.reachflow.elasticsearch.launcher.EmbeddedNode',
        home,
        context.layout.confDir('elasticsearch'),
      ],
      // A foreign library path would change which native libraries the node finds.
      env: { LD_LIBRARY_PATH: '' },
    };
  },
};
