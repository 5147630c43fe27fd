/** Checks that what the documents name exists: `npm run docs`. Exits 1, with file and line, when something does not. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProgram } from '../cli/program.ts';
import { checkDocument, type DocContext, documents } from './docs.ts';

const root = join(import.meta.dirname, '..');

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
const context: DocContext = {
  root,
  program: createProgram(),
  scripts: new Set(Object.keys(manifest.scripts)),
};
const files = documents(root);
const problems = files.flatMap((file) => checkDocument(file, context));
for (const { file, line, message } of problems) {
  process.stdout.write(`${file}:${line}: ${message}\n`);
}
process.stdout.write(`${files.length} documents, ${problems.length} problems\n`);
if (problems.length > 0) process.exitCode = 1;
