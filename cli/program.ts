import { Command } from 'commander';
import { pipelines } from '../pipelines/catalog.ts';
import { archiveCommand } from './commands/archive.ts';
import { checkpointCommand } from './commands/checkpoint.ts';
import { claimCheckCommand } from './commands/claim-check.ts';
import { configCommand } from './commands/config.ts';
import { connectorsCommand } from './commands/connectors.ts';
import { consoleCommand } from './commands/console.ts';
import { demoCommand } from './commands/demo.ts';
import { dlqCommand } from './commands/dlq.ts';
import { enrichmentCommand } from './commands/enrichment.ts';
import { importCommand } from './commands/import.ts';
import { modelCommand } from './commands/model.ts';
import { proveCommand } from './commands/prove.ts';
import { replayCommand } from './commands/replay.ts';
import { runCommand } from './commands/run.ts';
import { schemasCommand } from './commands/schemas.ts';
import { searchCommand } from './commands/search.ts';
import { stackCommand } from './commands/stack.ts';
import { statusCommand } from './commands/status.ts';
import { tenantCommand } from './commands/tenant.ts';
import { topologyCommand } from './commands/topology.ts';
import { traceCommand } from './commands/trace.ts';
import { verifyCommand } from './commands/verify.ts';
import { VERSION } from './version.ts';

/** Every command. A new one: its file in `commands/`, and its line here. */
const commands: readonly (() => Command)[] = [
  demoCommand,
  stackCommand,
  runCommand,
  importCommand,
  statusCommand,
  consoleCommand,
  () => topologyCommand(pipelines),
  connectorsCommand,
  dlqCommand,
  searchCommand,
  schemasCommand,
  replayCommand,
  checkpointCommand,
  claimCheckCommand,
  enrichmentCommand,
  modelCommand,
  tenantCommand,
  verifyCommand,
  archiveCommand,
  traceCommand,
  proveCommand,
  configCommand,
];

const EXAMPLES = `
Examples:
  reachflow demo --once               all of it, on real engines and real input, verified
  reachflow stack up                  start the engines, and print where they are
  reachflow config --sources          what is configured, and where each value comes from
  reachflow run                       webhooks and change data through to the three stores
  reachflow run --workers 4           the same, spread over four processes
  reachflow import contacts.csv --map map.yaml
                                      rows of a file into a topic, each exactly once
  reachflow topology events           the steps, topics and stores of a pipeline
  reachflow connectors status         change data capture: tasks, slots, snapshots
  reachflow console                   charts, pipelines and dead letters as a page
  reachflow dlq list                  what could not be delivered, and why
  reachflow dlq redrive FINGERPRINT   send it back, once what was wrong is mended
  reachflow search 'ada lov' --tenant acme
                                      contacts by name, company, e-mail, phone or tag
  reachflow schemas check             what a changed schema means, before it is rolled out
  reachflow verify event.recorded     that a topic is complete and unaltered
  reachflow archive run event.recorded
                                      keep records beyond the brokers' retention
  reachflow trace KEY                 where a record came from, and what became of it
  reachflow prove --minutes 5         exactly once, by killing everything and counting

Documentation: README.md and docs/ of the package. REACHFLOW_DEBUG=1 shows where an error came from.
`;

/** Commands made apart do not inherit: errors are thrown, with the nearest name and where to find help. */
function configure(command: Command): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(--help shows what there is)')
    .helpOption('-h, --help', 'show what there is');
  for (const child of command.commands) configure(child);
}

/** The command line as a tree, without running anything. */
export function createProgram(): Command {
  const program = new Command('reachflow')
    .description(
      'Exactly-once stream processing: webhooks and change data capture through Kafka to Postgres, ClickHouse and Elasticsearch.',
    )
    .version(VERSION, '-v, --version', 'print the version')
    .addHelpText('after', EXAMPLES);
  for (const create of commands) program.addCommand(create());
  configure(program);
  return program;
}
