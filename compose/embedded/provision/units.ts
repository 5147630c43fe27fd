import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ReachflowError } from '../../../runtime/errors.ts';
import { composeDir } from '../layout.ts';
import { dockerHint } from '../platform.ts';
import { FILE_LIST } from './file-list.ts';
import { buildJar, jarsIn, run, runMaven } from './tools.ts';
import type { BuildContext, ProvisionUnit, UnitName } from './unit.ts';

const embedded = join(composeDir, 'embedded');
/** Where the poms are; each has its list of files beside it. */
export const poms = {
  kafka: join(embedded, 'kafka'),
  debezium: join(embedded, 'connect', 'debezium'),
  converter: join(embedded, 'connect', 'converter'),
  registry: join(embedded, 'registry'),
  elasticsearch: join(embedded, 'elasticsearch'),
};

/** Kafka's broker, tools and Connect runtime: `lib/*.jar`. */
const kafka: ProvisionUnit = {
  name: 'kafka',
  component: 'kafka',
  inputs: [join(poms.kafka, 'pom.xml'), join(poms.kafka, FILE_LIST)],
  needs: [],
  async build(context) {
    await runMaven({
      ...context,
      pomDir: poms.kafka,
      outputDir: join(context.outputDir, 'lib'),
      mode: 'copy',
    });
  },
};

/** Connect's plugin path: Debezium's connectors, and the converter compiled from `connect/converter`. */
const connectPlugins: ProvisionUnit = {
  name: 'connect-plugins',
  component: 'connect',
  inputs: [poms.debezium, poms.converter],
  needs: ['kafka'],
  async build(context) {
    const { outputDir } = context;
    await runMaven({
      ...context,
      pomDir: poms.debezium,
      outputDir,
      mode: 'unpack',
    });
    const converterDir = join(outputDir, 'reachflow-converter');
    await runMaven({
      ...context,
      pomDir: poms.converter,
      outputDir: converterDir,
      mode: 'copy',
    });
    context.onProgress('compiling the Avro converter');
    const resources = await mkdtemp(join(tmpdir(), 'reachflow-converter-'));
    try {
      const services = join(resources, 'META-INF', 'services');
      await mkdir(services, { recursive: true });
      await writeFile(
        join(services, 'org.apache.kafka.connect.storage.Converter'),
        'io.reachflow.connect.ConfluentAvroConverter\n',
      );
      const provided = (await jarsIn(join(context.home('kafka'), 'lib'))).filter((jar) =>
        /^(connect-api|kafka-clients)-/.test(basename(jar)),
      );
      await buildJar(
        {
          ...context,
          sourceDir: poms.converter,
          release: 17,
          classPath: [...(await jarsIn(converterDir)), ...provided],
          jar: join(converterDir, 'reachflow-connect-converter.jar'),
        },
        resources,
      );
    } finally {
      await rm(resources, { recursive: true, force: true });
    }
  },
};

const registry: ProvisionUnit = {
  name: 'registry',
  component: 'registry',
  inputs: [poms.registry],
  needs: [],
  async build(context) {
    await runMaven({
      ...context,
      pomDir: poms.registry,
      mode: 'unpack',
    });
  },
};

/** An Elasticsearch home: server jars in `lib`, the HTTP module and our plugin in their directories. */
const elasticsearch: ProvisionUnit = {
  name: 'elasticsearch',
  component: 'elasticsearch',
  inputs: [
    join(poms.elasticsearch, 'pom.xml'),
    join(poms.elasticsearch, FILE_LIST),
    join(poms.elasticsearch, 'plugin-descriptor.properties'),
    join(poms.elasticsearch, 'java'),
  ],
  needs: [],
  async build(context) {
    const { outputDir } = context;
    const lib = join(outputDir, 'lib');
    await runMaven({
      ...context,
      pomDir: poms.elasticsearch,
      outputDir: lib,
      mode: 'copy',
    });
    await layOutHttpModule(context, lib);
    await placeZstd(lib);
    context.onProgress('compiling the launcher and its plugin');
    const plugin = join(outputDir, 'plugins', 'reachflow-embedded');
    await mkdir(plugin, { recursive: true });
    const source = { ...context, release: 21, classPath: await jarsIn(lib) };
    const java = join(poms.elasticsearch, 'java');
    await buildJar({
      ...source,
      sourceDir: join(java, 'launcher'),
      jar: join(outputDir, 'launcher.jar'),
    });
    await buildJar({ ...source, sourceDir: join(java, 'plugin'), jar: join(plugin, 'plugin.jar') });
    const descriptor = 'plugin-descriptor.properties';
    await copyFile(join(poms.elasticsearch, descriptor), join(plugin, descriptor));
  },
};

/** The HTTP transport is a module with a class loader of its own; its jars must not be in `lib`. */
async function layOutHttpModule(context: BuildContext, lib: string): Promise<void> {
  const module = join(context.outputDir, 'modules', 'transport-netty4');
  await mkdir(module, { recursive: true });
  for (const name of await readdir(lib)) {
    if (/^(netty-|transport-netty4-|elasticsearch-ssl-config-)/.test(name)) {
      await rename(join(lib, name), join(module, name));
    }
  }
  const jar = (await jarsIn(module)).find((file) => basename(file).startsWith('transport-netty4-'));
  if (jar === undefined) throw new Error(`no transport-netty4 jar in ${module}`);
  const extracted = join(context.outputDir, 'extracted');
  await mkdir(extracted);
  const descriptors = 'META-INF/es-plugins/transport-netty4';
  await run(
    'jar --extract',
    join(context.jdk.home, 'bin', 'jar'),
    ['--extract', '--file', jar, descriptors],
    { cwd: extracted, signal: context.signal },
  );
  for (const name of await readdir(join(extracted, descriptors))) {
    await rename(join(extracted, descriptors, name), join(module, name));
  }
  await rm(extracted, { recursive: true });
}

const ZSTD_DIRECTORIES = [
  '/lib/x86_64-linux-gnu',
  '/lib/aarch64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/lib64',
  '/usr/lib',
];

/** Elasticsearch loads libzstd from its home; without it, indices with best_compression hang. */
async function placeZstd(lib: string): Promise<void> {
  const found = ZSTD_DIRECTORIES.map((directory) => join(directory, 'libzstd.so.1')).find((file) =>
    existsSync(file),
  );
  if (found === undefined) {
    throw new ReachflowError(
      'The system library libzstd.so.1, which Elasticsearch needs, is missing.',
      {
        code: 'STACK_LIBRARY_MISSING',
        domain: 'user',
        hint: `Install it: \`apt install libzstd1\` or \`dnf install libzstd\`. ${dockerHint}`,
      },
    );
  }
  const platform = join(lib, 'platform', process.arch === 'arm64' ? 'linux-aarch64' : 'linux-x64');
  await mkdir(platform, { recursive: true });
  await copyFile(found, join(platform, 'libzstd.so'));
}

/** All units, each after those it needs. */
export const provisionUnits: readonly ProvisionUnit[] = [
  kafka,
  registry,
  connectPlugins,
  elasticsearch,
];

/** The unit of a name. */
export function unitOf(name: UnitName): ProvisionUnit {
  const unit = provisionUnits.find((candidate) => candidate.name === name);
  if (unit === undefined) throw new Error(`no provision unit ${name}`);
  return unit;
}
