import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkDocument, documents } from './docs.ts';

describe('checkDocument', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'reachflow-docs-'));
    write('docs/other.md', '# Other page\n\n## `code` & more\n');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function write(path: string, text: string): void {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }

  function problems(text: string, file = 'README.md'): string[] {
    write(file, text);
    const stack = new Command('stack').addCommand(new Command('up').option('--engine <name>'));
    stack.addCommand(new Command('logs').argument('<component>'));
    const program = new Command('reachflow')
      .addCommand(stack)
      .addCommand(new Command('demo').option('--once'));
    const scripts = new Set(['demo', 'test', 'reachflow']);
    return checkDocument(file, { root, program, scripts }).map(
      ({ line, message }) => `${line}: ${message}`,
    );
  }

  it.each([
    'See [other](docs/other.md), [its part](docs/other.md#code--more) and [the web](https://example.com/x.md).',
    '# Here\n\n[up](#here)',
    'Run `reachflow stack up --engine docker`, then `reachflow stack logs kafka`.',
    '```sh\nnpm run demo -- --once\nnpm test\nnpx reachflow demo --once # all of it\n```',
    'The package `reachflow` and its folder are no commands, and `[no](link.md)` in code is no link.',
  ])('accepts %j', (text) => {
    expect(problems(text)).toEqual([]);
  });

  it.each([
    ['[gone](docs/gone.md)', '1: the link docs/gone.md leads nowhere'],
    [
      '\n[x](docs/other.md#none)',
      '2: the link docs/other.md#none names no heading of docs/other.md',
    ],
    ['`reachflow stak up`', '1: there is no command `reachflow stak`'],
    ['`reachflow stack upp`', '1: there is no command `stack upp`'],
    ['```sh\nreachflow stack up --engin docker\n```', '2: `up` has no option --engin'],
    ['`npm run demmo`', '1: package.json has no script `demmo`'],
    ['`npm run demo -- --twice`', '1: `demo` has no option --twice'],
    ['`npm run reachflow -- stack down`', '1: there is no command `stack down`'],
  ])('reports %j', (text, expected) => {
    expect(problems(text)).toEqual([expected]);
  });

  it('expects the paths that the architecture names', () => {
    write('pipelines/x/steps/a.ts', '');
    const text = 'See `docs/other.md`, `docs/`, `steps/` and `runtime/gone.ts`.';
    expect(problems(text, 'docs/ARCHITECTURE.md')).toEqual(['1: there is no file runtime/gone.ts']);
    expect(problems(text)).toEqual([]);
  });

  it('finds the documents, and none of what is installed', () => {
    write('node_modules/x/README.md', '');
    write('README.md', '');
    expect(documents(root)).toEqual(['README.md', 'docs/other.md']);
  });
});
