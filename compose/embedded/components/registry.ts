import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ReachflowError } from '../../../runtime/errors.ts';
import type { EmbeddedComponent } from '../component.ts';
import { jvmFlags } from '../jvm.ts';
import { embeddedVersions } from '../versions.ts';

/** Where Apicurio serves the Confluent-compatible API. */
export const REGISTRY_API_PATH = '/apis/ccompat/v7';

/** Apicurio's schema registry on an embedded H2 database. */
export const registryComponent: EmbeddedComponent = {
  name: 'registry',
  version: embeddedVersions.registry,
  jvm: true,
  units: ['registry'],
  needs: [],
  stopSignal: 'SIGTERM',
  stopTimeoutMs: 10_000,

  async prepare({ layout }) {
    await mkdir(layout.dataDir('registry'), { recursive: true });
  },

  async command(context) {
    const { layout, ports } = context;
    const version = embeddedVersions.registry.replace('Apicurio ', '');
    // WRITE_DELAY=0: H2 otherwise acknowledges a schema up to half a second before it is on disk.
    const database = `jdbc:h2:file:${layout.dataDir('registry')}/h2;WRITE_DELAY=0`;
    return {
      file: join(context.jdk().home, 'bin', 'java'),
      args: [
        ...jvmFlags(context, {
          name: 'registry',
          unit: 'registry',
          heapMegabytes: 256,
          compiler: 'quick',
        }),
        '-Djava.util.logging.manager=org.jboss.logmanager.LogManager',
        ...['-jar', join(context.home('registry'), `apicurio-registry-app-${version}-runner.jar`)],
      ],
      env: {
        QUARKUS_HTTP_HOST: '127.0.0.1',
        QUARKUS_HTTP_PORT: String(ports.registry),
        QUARKUS_LOG_LEVEL: 'WARN',
        APICURIO_DATASOURCE_URL: database,
        APICURIO_DATASOURCE_JDBC_INITIAL_SIZE: '2',
        APICURIO_DATASOURCE_JDBC_MIN_SIZE: '2',
        APICURIO_DATASOURCE_JDBC_MAX_SIZE: '10',
        APICURIO_CCOMPAT_MAX_SUBJECTS: '100000',
      },
    };
  },

  /**
   * A new registry accepts any change (compatibility NONE): make it refuse what readers could not read. Only
   * once, so that a rule which somebody has set since then stays.
   */
  async setUp({ endpoints, layout }) {
    const done = join(layout.dataDir('registry'), 'compatibility-set');
    if (existsSync(done)) return;
    const url = `${endpoints.registry.url}/config`;
    const response = await fetch(url, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ compatibility: 'BACKWARD' }),
    });
    const answer = await response.text();
    if (response.ok) return writeFile(done, 'BACKWARD\n');
    throw new ReachflowError(`The registry refused its compatibility rule: ${answer}`, {
      code: 'STACK_SETUP_FAILED',
      domain: 'external',
      retry: 'backoff',
    });
  },
};
