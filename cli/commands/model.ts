import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import {
  ACTIVE_MODEL,
  checkModelFile,
  modelToPublish,
  openModel,
} from '../../pipelines/scoring/model/scoring-model.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { formatBytes } from '../checkpoint-view.ts';
import { line, table } from '../output.ts';
import { type TableRecord, TableTopic } from '../table-topic.ts';

interface ModelOptions {
  readonly name: string;
  readonly json?: boolean;
  readonly config?: string;
}

/** The model that is shipped: trained on generated data. */
const SHIPPED = join(import.meta.dirname, '..', '..', 'pipelines', 'scoring', 'model', 'lead.json');

async function readModel(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ReachflowError(`${path} cannot be read: ${errorMessage(cause)}`, {
      code: 'MODEL_UNREADABLE',
      domain: 'user',
      hint: 'It is a JSON file that XGBoost’s save_model wrote.',
      cause,
    });
  }
}

async function check(path: string, { json }: Pick<ModelOptions, 'json'>): Promise<void> {
  const { text: _text, ...summary } = checkModelFile(await readModel(path));
  if (json === true) return line(JSON.stringify(summary));
  const { version, trees, nodes, bytes, features } = summary;
  line(`Version ${version}: ${trees} trees of ${nodes} nodes, published as ${formatBytes(bytes)}.`);
  line(`Features: ${features.join(', ')}.`);
}

async function publish(path: string, { name, json, config }: ModelOptions): Promise<void> {
  const file = await readModel(path);
  // Before anything is asked of the broker: a file that is refused needs none.
  checkModelFile(file);
  const topic = await TableTopic.open('scoring.model', config);
  try {
    const before = (await topic.records()).filter(({ key }) => key === name);
    const times = before.map((record) => statusOf(record).publishedAt ?? 0);
    // Whatever clocks say, it is later than those before it.
    const model = modelToPublish(name, file, Math.max(Date.now(), ...times.map((at) => at + 1)));
    await topic.put(name, model);
    const published = { name, version: model.version, publishedAt: model.published_at };
    if (json === true) return line(JSON.stringify(published));
    line(`Model ${name} is now ${model.version}.`);
    if (name !== ACTIVE_MODEL)
      line(`Contacts are scored by ${ACTIVE_MODEL}: it is used by nobody.`);
  } finally {
    await topic.close();
  }
}

/** A record of the topic as people see it. */
interface ModelStatus {
  readonly name: string;
  readonly version?: string;
  readonly publishedAt?: number;
  readonly trees?: number;
  /** Why it is not used. */
  readonly refused?: string;
}

function statusOf(record: TableRecord<'scoring.model'>): ModelStatus {
  const { key: name } = record;
  if ('unreadable' in record) return { name, refused: record.unreadable };
  if (record.value === null) return { name, refused: 'it is a tombstone' };
  const { version, published_at: publishedAt } = record.value;
  try {
    const { forest } = openModel(record.value, Date.now());
    return { name, version, publishedAt, trees: forest.roots.length };
  } catch (error) {
    return { name, version, refused: errorMessage(error) };
  }
}

function stateOf(status: ModelStatus, newest: ModelStatus | undefined): string {
  if (status.refused !== undefined) return status.refused;
  if (status !== newest) return 'superseded';
  return status.name === ACTIVE_MODEL ? 'in use' : 'not used';
}

async function list({ json, config }: Pick<ModelOptions, 'json' | 'config'>): Promise<void> {
  const topic = await TableTopic.open('scoring.model', config);
  const found = (await topic.records()).map(statusOf);
  await topic.close();
  const newest = new Map<string, ModelStatus>();
  for (const status of found) {
    const before = newest.get(status.name)?.publishedAt ?? 0;
    if ((status.publishedAt ?? 0) > before) newest.set(status.name, status);
  }
  const rows = found.map((status) => ({
    ...status,
    state: stateOf(status, newest.get(status.name)),
  }));
  if (json === true) for (const row of rows) line(JSON.stringify(row));
  else if (rows.length === 0) line('No model is published: `reachflow model publish`.');
  else line(table(['name', 'version', 'published', 'trees', 'state'], rows.map(cellsOf)));
}

function cellsOf({ name, version, publishedAt, trees, state }: ModelStatus & { state: string }) {
  const at = publishedAt === undefined ? '' : new Date(publishedAt).toISOString();
  return [name, version ?? '', at, String(trees ?? ''), state];
}

/** `reachflow model`. */
export function modelCommand(): Command {
  const command = new Command('model').description('the models that contacts are scored by');
  const published = 'the model that is shipped, trained on generated data, when absent';
  command
    .command('check')
    .description('whether a model file can be used; asks no broker')
    .argument('[file]', `XGBoost's JSON; ${published}`, SHIPPED)
    .option('--json', 'print JSON')
    .action(check);
  command
    .command('publish')
    .description('score contacts by a model from now on, and those scored before again')
    .argument('[file]', `XGBoost's JSON; ${published}`, SHIPPED)
    .option(
      '--name <name>',
      `under another name than the one that is used, ${ACTIVE_MODEL}`,
      ACTIVE_MODEL,
    )
    .option('--json', 'print JSON')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow model check lead.json\n  reachflow model publish lead.json\n',
    )
    .action(async (file: string, options: ModelOptions) => {
      await publish(file, options);
      // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
      process.exit(0);
    });
  command
    .command('list')
    .description('what was published, what is in use, and what is refused and why')
    .option('--json', 'one JSON object a line')
    .option('--config <file>', 'configuration file')
    .action(async (options: ModelOptions) => {
      await list(options);
      process.exit(0);
    });
  return command;
}
