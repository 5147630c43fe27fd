import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type ICruiseOptions, type IForbiddenRuleType } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

interface Config {
  readonly forbidden: IForbiddenRuleType[];
  readonly options: ICruiseOptions;
}

const root = join(import.meta.dirname, '..');
const { forbidden, options } = createRequire(import.meta.url)(
  '../.dependency-cruiser.cjs',
) as Config;

describe('boundaries', () => {
  let tree: string;
  beforeEach(() => {
    tree = mkdtempSync(join(tmpdir(), 'reachflow-boundaries-'));
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
    for (const file of ['package.json', 'tsconfig.json']) {
      symlinkSync(join(root, file), join(tree, file));
    }
  });
  afterEach(() => rmSync(tree, { recursive: true }));

  /** The rules that a tree of these files breaks, `no-orphans` apart. */
  async function broken(files: Readonly<Record<string, string>>): Promise<string[]> {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
    }
    const { output } = await cruise(
      Object.keys(files),
      { ...options, baseDir: tree, validate: true, ruleSet: { forbidden } },
      undefined,
      { tsConfig: extractTSConfig(join(root, 'tsconfig.json')) },
    );
    if (typeof output === 'string') throw new Error(output);
    const names = output.summary.violations.map(({ rule }) => rule.name);
    return [...new Set(names)].filter((name) => name !== 'no-orphans');
  }

  const part = 'export const part = 1;\n';
  const imports = (path: string) => `import { part } from '${path}';\nexport const whole = part;\n`;

  it.each([
    ['runtime-stands-alone', 'runtime/a.ts', '../sinks/b.ts', 'sinks/b.ts'],
    ['runtime-stands-alone', 'runtime/a.ts', '../cli/b.ts', 'cli/b.ts'],
    ['schemas-stand-alone', 'schemas/a.ts', '../connectors/b.ts', 'connectors/b.ts'],
    ['pipelines-apart', 'pipelines/x/a.ts', '../y/b.ts', 'pipelines/y/b.ts'],
    ['sinks-apart', 'sinks/x/a.ts', '../y/b.ts', 'sinks/y/b.ts'],
    ['connectors-apart', 'connectors/x/a.ts', '../y/b.ts', 'connectors/y/b.ts'],
    ['stages-meet-in-topics', 'pipelines/x/a.ts', '../../sinks/y/b.ts', 'sinks/y/b.ts'],
    ['stages-know-no-program', 'sinks/x/a.ts', '../../cli/b.ts', 'cli/b.ts'],
    ['stages-know-no-program', 'sinks/x/a.ts', '../../compose/b.ts', 'compose/b.ts'],
    ['schemas-stand-alone', 'schemas/a.ts', '../runtime/b.ts', 'runtime/b.ts'],
    ['console-is-given-its-parts', 'console/a.ts', '../pipelines/b.ts', 'pipelines/b.ts'],
    ['page-stands-alone', 'console/page/a.js', '../b.ts', 'console/b.ts'],
    ['compose-starts-engines-only', 'compose/a.ts', '../runtime/b.ts', 'runtime/b.ts'],
    ['compose-starts-engines-only', 'compose/a.ts', '../schemas/b.ts', 'schemas/b.ts'],
    ['no-test-code-in-the-product', 'runtime/a.ts', './b.test.ts', 'runtime/b.test.ts'],
  ])('%s: %s may not import %s', async (rule, from, specifier, to) => {
    expect(await broken({ [from]: imports(specifier), [to]: part })).toEqual([rule]);
  });

  it.each([
    ['one-kafka-client', 'sinks/x/a.ts', 'kafkajs'],
    ['one-kafka-client', 'runtime/a.ts', 'kafkajs'],
    ['one-avro-codec', 'runtime/a.ts', 'avsc'],
    ['one-avro-codec', 'pipelines/x/a.ts', '@kafkajs/confluent-schema-registry'],
    ['store-clients-in-sinks', 'runtime/a.ts', 'pg'],
    ['no-test-code-in-the-product', 'runtime/a.ts', 'vitest'],
    ['resolvable', 'runtime/a.ts', './missing.ts'],
  ])('%s: %s may not import %s', async (rule, from, specifier) => {
    expect(await broken({ [from]: `import '${specifier}';\n` })).toContain(rule);
  });

  it.each([
    ['runtime/kafka/a.ts', 'kafkajs'],
    ['schemas/a.ts', 'avsc'],
    ['sinks/postgres/a.ts', 'pg'],
    ['runtime/a.test.ts', 'vitest'],
  ])('%s may import %s', async (from, specifier) => {
    expect(await broken({ [from]: `import '${specifier}';\n` })).toEqual([]);
  });

  it('no-cycles: two modules may not import each other', async () => {
    expect(
      await broken({ 'runtime/a.ts': imports('./b.ts'), 'runtime/b.ts': imports('./a.ts') }),
    ).toEqual(['no-cycles']);
  });
});
