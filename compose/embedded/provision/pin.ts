/**
 * Write the list of files of each pom anew, after a change of versions:
 * `node compose/embedded/provision/pin.ts`. Read the difference before you commit it.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findJdk, findMaven } from '../toolchain.ts';
import { FILE_LIST, formatFileList } from './file-list.ts';
import { runMaven } from './tools.ts';
import { poms } from './units.ts';

const modes = {
  kafka: 'copy',
  debezium: 'unpack',
  converter: 'copy',
  registry: 'unpack',
  elasticsearch: 'copy',
} as const satisfies Record<keyof typeof poms, 'copy' | 'unpack'>;

const [jdk, mvn] = [findJdk(), findMaven()];
for (const name of Object.keys(modes) as (keyof typeof modes)[]) {
  const outputDir = await mkdtemp(join(tmpdir(), 'reachflow-pin-'));
  try {
    const pomDir = poms[name];
    await runMaven({
      ...{ mvn, jdk, pomDir, outputDir },
      mode: modes[name],
      verify: false,
      onProgress: () => undefined,
    });
    await writeFile(join(pomDir, FILE_LIST), await formatFileList(outputDir));
    process.stdout.write(`${join(pomDir, FILE_LIST)}\n`);
  } finally {
    await rm(outputDir, { recursive: true });
  }
}
