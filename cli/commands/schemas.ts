import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { pipelines } from '../../pipelines/catalog.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { physicalName } from '../../runtime/kafka/config.ts';
import { readerSchemaText } from '../../schemas/avro.ts';
import { COMPATIBILITY_LEVELS, type CompatibilityLevel } from '../../schemas/compatibility.ts';
import {
  directoryHistory,
  gitHistory,
  isCommit,
  registryHistory,
  type SchemaHistory,
} from '../../schemas/history.ts';
import { isTopicName, type TopicName, topicNames, topics } from '../../schemas/topics.ts';
import { sinks } from '../../sinks/registry.ts';
import { loadAppConfig } from '../config.ts';
import { EXIT_FAILURE } from '../errors.ts';
import { line } from '../output.ts';
import { checkSchema, isBroken, type SchemaReport } from '../schemas/check.ts';
import { printReport } from '../schemas/view.ts';

interface CheckOptions {
  readonly against: string;
  readonly level: CompatibilityLevel;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly config?: string;
}

/** What the versions before a topic's schema are, by what `--against` says. */
type HistoryOf = (topic: TopicName) => Promise<SchemaHistory>;

async function historyOf({ against, config: file }: CheckOptions): Promise<HistoryOf> {
  if (against === 'registry') {
    const { config } = await loadAppConfig(file === undefined ? {} : { file });
    const { url } = config.registry;
    return (topic) =>
      registryHistory(url, `${physicalName(config.kafka, topic)}-value`, config.registry);
  }
  const directory = resolve(against);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true)
    return (topic) => directoryHistory(topics[topic].schema, directory);
  if (await isCommit(against)) return (topic) => gitHistory(topics[topic].schema, against);
  throw new ReachflowError(
    `--against ${against}: neither registry, nor a directory, nor a commit here`,
    {
      code: 'SCHEMA_HISTORY',
      domain: 'user',
      hint: 'For example: --against registry, --against main, --against v1.2.0, --against ../released/schemas/avro.',
    },
  );
}

function topicsOf(names: readonly string[]): readonly TopicName[] {
  const unknown = names.filter((name) => !isTopicName(name));
  if (unknown.length === 0) return names.length === 0 ? topicNames : names.filter(isTopicName);
  throw new ReachflowError(`there is no topic ${unknown.join(', ')}`, {
    code: 'UNKNOWN_TOPIC',
    domain: 'user',
    hint: `There are: ${topicNames.join(', ')}.`,
  });
}

/** False when something must not be rolled out. */
async function check(names: readonly string[], options: CheckOptions): Promise<boolean> {
  const history = await historyOf(options);
  const reports: SchemaReport[] = [];
  for (const topic of topicsOf(names)) {
    const versions = await history(topic);
    reports.push(checkSchema(topic, readerSchemaText(topic), versions, { pipelines, sinks }));
  }
  const shown = reports.filter(
    (report) =>
      options.all === true ||
      names.length > 0 ||
      report.changed ||
      report.versions === 0 ||
      isBroken(report, options.level),
  );
  const good = reports.every((report) => !isBroken(report, options.level));
  if (options.json === true) {
    for (const report of shown)
      line(JSON.stringify({ ...report, ok: !isBroken(report, options.level) }));
    return good;
  }
  for (const report of shown) printReport(report, options.level);
  line(`${reports.length} schemas, ${reports.filter(({ changed }) => changed).length} changed.`);
  return good;
}

/** `reachflow schemas`. */
export function schemasCommand(): Command {
  const schemas = new Command('schemas').description('what topics hold, and how that may change');
  schemas
    .command('check')
    .description(
      'before a schema is changed: compatibility, DDL of the stores, fields, stored state',
    )
    .argument('[topics...]', 'topics; those whose schema changed when absent')
    .option('--against <where>', 'registry, a git commit, or a directory of .avsc files', 'HEAD')
    .addOption(
      new Option('--level <level>', 'the level that must hold; else the exit code is 1')
        .choices(COMPATIBILITY_LEVELS)
        .default('BACKWARD'),
    )
    .option('--all', 'unchanged schemas, too')
    .option('--json', 'one JSON object a line')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow schemas check                        the working copy against the last commit\n  reachflow schemas check --against main --level FULL_TRANSITIVE\n  reachflow schemas check contact.golden --against registry\n',
    )
    .action(async (names: readonly string[], options: CheckOptions) => {
      if (!(await check(names, options))) process.exitCode = EXIT_FAILURE;
    });
  return schemas;
}
