import { Command } from 'commander';
import { traceMermaid } from '../../history/trace/mermaid.ts';
import { traceRecord } from '../../history/trace/trace.ts';
import { pipelines } from '../../pipelines/catalog.ts';
import { jsonValue } from '../../runtime/letters/where.ts';
import { parseSince } from '../dlq/since.ts';
import { openHistoryContext } from '../history/context.ts';
import { ReadProgress } from '../history/progress.ts';
import { printTrace } from '../history/trace-view.ts';
import { line, note } from '../output.ts';

interface TraceOptions {
  readonly topic?: string;
  readonly since: number;
  readonly stores: boolean;
  readonly json?: boolean;
  readonly mermaid?: boolean;
  readonly config?: string;
}

async function trace(query: string, options: TraceOptions): Promise<void> {
  const { client, codec, config } = await openHistoryContext(options.config);
  const progress = new ReadProgress();
  const stores = options.stores ? config : undefined;
  const found = await traceRecord(
    { client, codec, topologies: pipelines, stores },
    {
      ...{ query, topic: options.topic, since: options.since },
      onProgress: (topic, share, bytes) => progress.show(topic, share, bytes),
    },
  );
  progress.end();
  if (options.json === true) line(JSON.stringify(found, jsonValue));
  else if (options.mermaid === true) line(traceMermaid(found));
  else printTrace(found);
  if (found.visits.length > 0) process.exit(0);
  note(
    `Nothing of ${query} was found since ${new Date(options.since).toISOString()}; --since goes back further.`,
  );
  process.exit(1);
}

/** `reachflow trace`. */
export function traceCommand(): Command {
  return new Command('trace')
    .description(
      'where a record came from and what became of it: topics, steps, state, stores and DLQs',
    )
    .argument('<key-or-id>', "a record's key, or an id in its value such as an event id")
    .option('--topic <text>', 'only topics whose name contains this')
    .option(
      '--since <when>',
      '30m, 2h, 7d or an ISO time: older records are not looked at',
      parseSince,
      Date.now() - 86_400_000,
    )
    .option('--no-stores', 'without a look into the stores')
    .option('--json', 'as JSON')
    .option('--mermaid', 'as a Mermaid flowchart')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow trace 4711 --since 7d\n  reachflow trace evt_1Pq9 --mermaid > trace.mmd\n',
    )
    .action(trace);
}
