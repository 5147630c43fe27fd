import { Argument, Command } from 'commander';
import type { Capture } from '../../connectors/debezium/capture.ts';
import {
  controlSnapshot,
  type SnapshotAction,
  snapshotActions,
} from '../../connectors/debezium/signals.ts';
import { confirm } from '../confirm.ts';
import {
  type ConnectorsContext,
  captureFor,
  capturesNamed,
  openConnectors,
} from '../connectors/context.ts';
import { configChanges, diffText } from '../connectors/diff.ts';
import { takeSnapshot } from '../connectors/snapshot.ts';
import { showStatus } from '../connectors/status.ts';
import { line, note } from '../output.ts';

interface CommonOptions {
  readonly config?: string;
}

/** A command with what all have: its names, and that the process ends with it. */
function named(name: string, what: string): Command {
  return new Command(name)
    .argument('[names...]', what)
    .option('--config <file>', 'configuration file');
}

async function ended(work: Promise<void>): Promise<void> {
  await work;
  // KafkaJS and the registry's client keep timers and connections for a moment; nothing is left to wait for.
  process.exit(0);
}

async function apply(capture: Capture, dryRun: boolean): Promise<void> {
  const found = await capture.found();
  const { connector } = capture.names;
  line(diffText(connector, found !== undefined, configChanges(found, capture.wanted)));
  if (dryRun) return;
  line(`${connector}: ${await capture.apply()}, running`);
}

function applyCommand(): Command {
  return named('apply', 'connectors of the configuration; all when absent')
    .description(
      'checks the source, shows what differs, and makes the connectors what the configuration says',
    )
    .option('--dry-run', 'only show what would change')
    .addHelpText(
      'after',
      '\nRun again, it changes nothing. Passwords are not shown.\n\nExamples:\n  reachflow connectors apply --dry-run\n  reachflow connectors apply reachflow-cdc\n',
    )
    .action((names: readonly string[], options: CommonOptions & { dryRun?: boolean }) =>
      ended(
        (async () => {
          const context = await openConnectors(options.config);
          for (const capture of capturesNamed(context, names)) {
            await apply(capture, options.dryRun === true);
          }
        })(),
      ),
    );
}

function statusCommand(): Command {
  return named('status', 'connectors; those of the configuration when absent')
    .description('shows tasks, why they failed, how far slots are behind, and snapshots')
    .option('--all', 'every connector that Kafka Connect has')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      "\nExamples:\n  reachflow connectors status\n  reachflow connectors status --json | jq '.[] | {name, state, lag: .slot.lagBytes}'\n",
    )
    .action(
      (names: readonly string[], options: CommonOptions & { all?: boolean; json?: boolean }) =>
        ended(
          (async () => {
            const context = await openConnectors(options.config);
            const { all = false, json = false } = options;
            await showStatus(context, names, { all, json });
          })(),
        ),
    );
}

/** A command that says one thing to each connector, ours or not. */
function simpleCommand(
  name: string,
  description: string,
  done: string,
  act: (context: ConnectorsContext, connector: string, all: boolean) => Promise<void>,
): Command {
  const command = named(name, 'connectors; those of the configuration when absent').description(
    description,
  );
  if (name === 'restart') command.option('--all-tasks', 'also those that have not failed');
  return command.action(
    (names: readonly string[], options: CommonOptions & { allTasks?: boolean }) =>
      ended(
        (async () => {
          const context = await openConnectors(options.config);
          const ours = context.captures.map((capture) => capture.names.connector);
          for (const connector of names.length > 0 ? names : ours) {
            await act(context, connector, options.allTasks === true);
            line(`${connector}: ${done}`);
          }
        })(),
      ),
  );
}

function snapshotCommand(): Command {
  return new Command('snapshot')
    .description('reads tables again, in chunks, while changes go on being captured')
    .argument('<tables...>', 'captured tables, <schema>.<table>')
    .option('--where <condition>', 'only rows that this SQL condition holds for')
    .option('--connector <name>', 'which connector, where several have the table')
    .option('--no-wait', 'only ask for it; `connectors status` shows how it goes')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nIt survives a restart of Kafka Connect. Rows that change meanwhile are not set back.\n\nExamples:\n  reachflow connectors snapshot public.contacts\n  reachflow connectors snapshot public.events --where "tenant_id = \'acme\'"\n',
    )
    .action(
      (
        tables: readonly string[],
        options: CommonOptions & { where?: string; connector?: string; wait: boolean },
      ) =>
        ended(
          (async () => {
            const context = await openConnectors(options.config);
            const capture = captureFor(context, options.connector, tables);
            await takeSnapshot(context, capture, tables, {
              where: options.where,
              wait: options.wait,
            });
          })(),
        ),
    );
}

function signalCommand(): Command {
  return new Command('signal')
    .description('pauses, resumes or stops the incremental snapshot that is under way')
    .addArgument(new Argument('<action>', 'what to do').choices(snapshotActions))
    .argument('[tables...]', 'of a stop: only these')
    .option('--connector <name>', 'which connector, where there are several')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow connectors signal pause-snapshot\n  reachflow connectors signal stop-snapshot public.events\n',
    )
    .action(
      (
        action: SnapshotAction,
        tables: readonly string[],
        options: CommonOptions & { connector?: string },
      ) =>
        ended(
          (async () => {
            const context = await openConnectors(options.config);
            const capture = captureFor(context, options.connector, tables);
            const id = await controlSnapshot(capture.source, capture.config, action, tables);
            line(`${capture.names.connector}: ${action} sent as ${id}`);
          })(),
        ),
    );
}

function removeCommand(): Command {
  return new Command('remove')
    .argument('<names...>', 'connectors of the configuration')
    .description('ends captures for good: connector, offsets, replication slot, publication')
    .option('--yes', 'do not ask')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nTopics stay. The next `apply` or `run` reads every table again: that is also the way back when a slot is lost.\n\nExample:\n  reachflow connectors remove reachflow-cdc --yes\n',
    )
    .action((names: readonly string[], options: CommonOptions & { yes?: boolean }) =>
      ended(
        (async () => {
          const context = await openConnectors(options.config);
          const captures = capturesNamed(context, names);
          const what = captures.map((capture) => capture.names.connector).join(', ');
          if (options.yes !== true) {
            await confirm(`Remove ${what}, with slot and offsets?`, 'Answer y, or use --yes.');
          }
          for (const capture of captures) {
            await capture.remove();
            note(`${capture.names.connector}: removed`);
          }
        })(),
      ),
    );
}

/** `reachflow connectors`. */
export function connectorsCommand(): Command {
  return new Command('connectors')
    .description('change data capture in Kafka Connect: apply, watch, snapshot, repair')
    .addCommand(applyCommand())
    .addCommand(statusCommand())
    .addCommand(
      simpleCommand(
        'restart',
        'restarts what has failed',
        'restarted',
        ({ connect }, connector, all) => connect.restart(connector, all ? 'all' : 'failed'),
      ),
    )
    .addCommand(
      simpleCommand(
        'pause',
        'lets connectors read no more; a slot then keeps the log, until they are resumed',
        'paused',
        ({ connect }, connector) => connect.pause(connector),
      ),
    )
    .addCommand(
      simpleCommand(
        'resume',
        'lets paused or stopped connectors go on where they were',
        'resumed',
        ({ connect }, connector) => connect.resume(connector),
      ),
    )
    .addCommand(snapshotCommand())
    .addCommand(signalCommand())
    .addCommand(removeCommand());
}
