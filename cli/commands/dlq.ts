import { Command, InvalidArgumentError } from 'commander';
import type { Selection } from '../../runtime/letters/selection.ts';
import { openDlqContext } from '../dlq/context.ts';
import { list, show } from '../dlq/list.ts';
import { drop, preview, redrive } from '../dlq/resolve.ts';
import { parseSince } from '../dlq/since.ts';

interface FilterOptions {
  readonly topic?: string;
  readonly consumer?: string;
  readonly code?: string;
  readonly since?: number;
  readonly where: readonly string[];
  readonly config?: string;
}

interface ListOptions extends FilterOptions {
  readonly limit: number;
  readonly all?: boolean;
  readonly groups?: boolean;
  readonly json?: boolean;
}

interface RedriveOptions extends FilterOptions {
  readonly patch?: string;
  readonly dryRun?: boolean;
  readonly maxReplays: number;
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

interface DropOptions extends FilterOptions {
  readonly yes?: boolean;
}

function wholeNumber(most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (Number.isInteger(number) && number >= 1 && number <= most) return number;
    throw new InvalidArgumentError(`a whole number from 1 to ${most}`);
  };
}

function collect(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}

function filters(command: Command): Command {
  return command
    .option('--topic <text>', 'only queues whose name contains this')
    .option('--consumer <name>', 'only what this pipeline or sink gave up on')
    .option('--code <code>', 'only this error code')
    .option('--since <when>', 'only what failed since: 30m, 2h, 7d or an ISO time', parseSince)
    .option(
      '--where <expression>',
      'only records like this: tenant_id=acme, after.email~@example, score>=0.5; several are all wanted',
      collect,
      [],
    )
    .option('--config <file>', 'configuration file');
}

function selectionOf(options: FilterOptions, fingerprint?: string): Selection {
  const { topic, consumer, code, since, where } = options;
  return {
    where,
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(topic === undefined ? {} : { topic }),
    ...(consumer === undefined ? {} : { consumer }),
    ...(code === undefined ? {} : { code }),
    ...(since === undefined ? {} : { since }),
  };
}

function listCommand(): Command {
  return filters(new Command('list'))
    .description('failures by kind, then the newest dead letters')
    .option('--limit <n>', 'dead letters to show', wholeNumber(100_000), 20)
    .option('--all', 'those that were redriven or dropped, too')
    .option('--groups', 'only the kinds of failure')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow dlq list\n  reachflow dlq list --consumer postgres --since 2h --where tenant_id=acme\n  reachflow dlq list --topic contact.golden --json --limit 100\n',
    )
    .action(async (options: ListOptions) => {
      await list(await openDlqContext(options.config), {
        selection: selectionOf(options),
        limit: options.limit,
        all: options.all === true,
        groupsOnly: options.groups === true,
        json: options.json === true,
      });
      process.exit(0);
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('dead letters in full: why, headers, and the decoded record')
    .argument('<letter>', 'a fingerprint, or TOPIC[partition]@offset of the record')
    .option('--bytes', 'key and value as base64, too')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      "\nExamples:\n  reachflow dlq show 3f2a9c\n  reachflow dlq show 'contact.golden[2]@1234' --bytes\n",
    )
    .action(async (what: string, options: { bytes?: boolean; config?: string }) => {
      await show(await openDlqContext(options.config), what, options.bytes === true);
      process.exit(0);
    });
}

function redriveCommand(): Command {
  return filters(new Command('redrive'))
    .description('sends records back to the consumer that gave up on them, and to no other')
    .argument('[fingerprint]', 'only this kind of failure')
    .option('--patch <file>', 'a TypeScript file whose default export makes another value of each')
    .option('--dry-run', 'only tells what would become of each')
    .option('--max-replays <n>', 'leave out what came back so often already', wholeNumber(1_000), 3)
    .option('--force', 'without limits: also what came back too often, or is counted twice')
    .option('--yes', 'do not ask, where no filter says which')
    .option('--json', 'of a dry run: one JSON object a line')
    .addHelpText(
      'after',
      '\nInterrupted? Start it again: what was sent is not sent twice.\n\nExamples:\n  reachflow dlq redrive 3f2a9c --dry-run\n  reachflow dlq redrive 3f2a9c --patch fix-phone.ts\n  reachflow dlq redrive --consumer postgres --code PG_23503\n',
    )
    .action(async (fingerprint: string | undefined, options: RedriveOptions) => {
      const context = await openDlqContext(options.config);
      const command = {
        selection: selectionOf(options, fingerprint),
        maxReplays: options.maxReplays,
        force: options.force === true,
        yes: options.yes === true,
        ...(options.patch === undefined ? {} : { patch: options.patch }),
      };
      if (options.dryRun === true) await preview(context, command, options.json === true);
      else await redrive(context, command);
      process.exit(0);
    });
}

function dropCommand(): Command {
  return filters(new Command('drop'))
    .description('marks letters as dealt with: they are not listed and not redriven any more')
    .argument('[fingerprint]', 'only this kind of failure')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow dlq drop 3f2a9c\n  reachflow dlq drop --consumer postgres --since 2h --yes\n',
    )
    .action(async (fingerprint: string | undefined, options: DropOptions) => {
      const context = await openDlqContext(options.config);
      await drop(context, selectionOf(options, fingerprint), options.yes === true);
      process.exit(0);
    });
}

/** `reachflow dlq`. */
export function dlqCommand(): Command {
  return new Command('dlq')
    .description('records that could not be delivered: what, why, and what to do with them')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(redriveCommand())
    .addCommand(dropCommand());
}
