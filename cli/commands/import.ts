import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { findFiles } from '../../connectors/file/find-files.ts';
import { generateMap, sourceName } from '../../connectors/file/generate-map.ts';
import { importFile, prepareImports } from '../../connectors/file/import-file.ts';
import type { ImportResult } from '../../connectors/file/import-options.ts';
import { importMapSchema, readImportMap } from '../../connectors/file/map.ts';
import { previewFile, sampleFile } from '../../connectors/file/sample.ts';
import { errorCode, ReachflowError } from '../../runtime/errors.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { STREAMING_HEAP } from '../../runtime/process-memory.ts';
import { loadAppConfig } from '../config.ts';
import { columnsTable, importBar, previewText, resultLine } from '../import-view.ts';
import { line, note } from '../output.ts';
import { kafkaOf } from '../product.ts';
import { beginAgainWith } from '../workers/memory.ts';

interface ImportCommandOptions {
  readonly map?: string;
  readonly preview?: true | number;
  readonly writeMap?: string;
  readonly again?: boolean;
  readonly maxRejects?: number;
  readonly json?: boolean;
  readonly config?: string;
}

const PREVIEW_ROWS = 5;
const SAMPLE_ROWS = 1_000;
const SHOWN_ROWS = 3;

function count(text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (Number.isInteger(value) && value >= 0 && text !== '') return value;
  throw new InvalidArgumentError('a whole number');
}

/** Settings of a file that nobody has mapped yet. */
const DETECTED = importMapSchema.parse({ source: 'file', tenant: 'default', key: ['id'] });

async function writeMap(path: string, target: string): Promise<void> {
  const [file = path] = await findFiles(path);
  const name = basename(file);
  const sample = await sampleFile(file, name, DETECTED, SAMPLE_ROWS);
  try {
    await writeFile(target, generateMap(sample, sourceName(name)), { flag: 'wx' });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    throw new ReachflowError(`${target} is there already`, {
      code: 'MAP_EXISTS',
      domain: 'user',
      hint: 'Name another file: somebody may have changed this one.',
      cause: error,
    });
  }
  line(`${target}: a map of ${sample.columns.length} columns (${sample.description}).`);
  line(`Look at its tenant and key, then: reachflow import ${path} --map ${target} --preview`);
}

async function preview(path: string, options: ImportCommandOptions): Promise<void> {
  const limit = typeof options.preview === 'number' ? options.preview : PREVIEW_ROWS;
  for (const file of await findFiles(path)) {
    const name = basename(file);
    if (options.map === undefined) {
      const sample = await sampleFile(file, name, DETECTED, SAMPLE_ROWS);
      line(`${name}: ${sample.description}`);
      line(columnsTable(sample, SHOWN_ROWS));
      line('Without a map nothing is imported: --write-map map.yaml writes one of these columns.');
      continue;
    }
    const found = await previewFile(file, name, await readImportMap(options.map), limit);
    if (options.json === true) line(JSON.stringify({ file: name, ...found }));
    else line(previewText(name, found));
  }
}

/** The first signal ends the import between two rows, to go on later; the second ends the process. */
function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => controller.abort());
  return controller.signal;
}

async function runImports(
  path: string,
  mapFile: string,
  options: ImportCommandOptions,
): Promise<void> {
  beginAgainWith(STREAMING_HEAP);
  const signal = untilInterrupted();
  const files = await findFiles(path);
  const map = await readImportMap(mapFile);
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  const logger = createLogger({ ...config.log, level: 'warn' });
  const deps = { ...kafkaOf(config, logger), logger };
  await prepareImports(deps);
  const results: ImportResult[] = [];
  for (const file of files) {
    const bar = importBar(basename(file));
    try {
      const result = await importFile(deps, {
        path: file,
        map,
        directory: config.file.directory,
        maxRejects: options.maxRejects ?? config.file.maxRejects,
        again: options.again,
        onProgress: bar.show,
        signal,
      });
      results.push(result);
      bar.end();
      if (options.json === true) line(JSON.stringify({ file: basename(file), ...result }));
      else line(resultLine(basename(file), result, map.topic));
    } finally {
      bar.end();
    }
  }
  const rejected = results.reduce((sum, result) => sum + result.rejected, 0);
  if (rejected > 0 && options.json !== true)
    note('Rejected rows are not in the topic: mend them, and import them as a file of their own.');
}

/** `reachflow import`. */
export function importCommand(): Command {
  return new Command('import')
    .description('rows of files into a topic, each exactly once: CSV, JSON, NDJSON, Excel, Parquet')
    .argument('<file>', 'a file, or a directory of files of one kind')
    .option('--map <file>', 'what the rows become: docs/guides/import.md')
    .option(
      '--preview [rows]',
      'show the columns and the first rows as they would be published',
      count,
    )
    .option('--write-map <file>', 'write a map of the columns, to begin with')
    .option('--again', 'once more, although it was imported before')
    .option(
      '--max-rejects <n>',
      'rejected rows before the import stops (default: file.maxRejects)',
      count,
    )
    .option('--json', 'print JSON')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nThe same command goes on with an import that was interrupted.\n\nExamples:\n  reachflow import contacts.csv --write-map map.yaml\n  reachflow import contacts.csv --map map.yaml --preview\n  reachflow import contacts.csv --map map.yaml\n',
    )
    .action(async (path: string, options: ImportCommandOptions) => {
      if (options.writeMap !== undefined) await writeMap(path, options.writeMap);
      else if (options.preview !== undefined) await preview(path, options);
      else if (options.map !== undefined) await runImports(path, options.map, options);
      else
        throw new ReachflowError('an import needs a map', {
          code: 'MAP_MISSING',
          domain: 'user',
          hint: `\`reachflow import ${path} --write-map map.yaml\` writes one to begin with.`,
        });
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
}
