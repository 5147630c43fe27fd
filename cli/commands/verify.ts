import { readFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { checkProof, parseProof, proveInclusion } from '../../history/proof-file.ts';
import { isIntact, topicState, verifyTopic } from '../../history/verify/topic.ts';
import { sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { committedOffsets, topicPartitions } from '../../runtime/kafka/admin.ts';
import { sinks } from '../../sinks/registry.ts';
import { type HistoryContext, openHistoryContext } from '../history/context.ts';
import { ReadProgress } from '../history/progress.ts';
import { type Bound, parseBound, parsePlace, resolveBound } from '../history/range.ts';
import { offsetsAsText, printTopicReport, topicReportJson } from '../history/verify-view.ts';
import { line } from '../output.ts';
import { numberIn } from './arguments.ts';

/** Something is not as it was recorded. */
export const EXIT_ALTERED = 3;
/** Nothing is wrong, as nothing was recorded that it could be compared with. */
const EXIT_UNPROVEN = 4;

interface VerifyOptions {
  readonly partition?: number;
  readonly from?: Bound;
  readonly to?: Bound;
  readonly store?: string;
  readonly record?: boolean;
  readonly new?: boolean;
  readonly proof?: ReturnType<typeof parsePlace>;
  readonly json?: boolean;
  readonly config?: string;
}

async function verify(topic: string, options: VerifyOptions): Promise<void> {
  const context = await openHistoryContext(options.config);
  if (options.proof !== undefined) {
    await prove(context, topic, options.proof);
    process.exit(0);
  }
  const { client } = context;
  const count = (await topicPartitions(client)).get(topic) ?? 0;
  const all = Array.from({ length: count }, (_, partition) => partition);
  const partitions = options.partition === undefined ? all : [options.partition];
  const from = await resolveBound(client, topic, partitions, options.from);
  const to =
    options.store === undefined
      ? await resolveBound(client, topic, partitions, options.to)
      : await committedOffsets(client, sinkGroup(options.store), topic);
  const progress = new ReadProgress();
  const report = await verifyTopic(client, {
    ...{ topic, partitions, record: options.record === true, newOnly: options.new === true },
    range: (partition) => ({ from: from.get(partition), to: to.get(partition) }),
    onProgress: (partition, { done, total, bytes }) =>
      progress.show(`${topic}[${partition}]`, total === 0 ? 1 : done / total, bytes),
  });
  progress.end();
  if (options.json === true) line(JSON.stringify(topicReportJson(report), offsetsAsText));
  else printTopicReport(report);
  const isProven = report.recorded > 0 || report.partitions.some(({ proven }) => proven.length > 0);
  process.exit(isIntact(report) ? (isProven ? 0 : EXIT_UNPROVEN) : EXIT_ALTERED);
}

async function prove(
  { client }: HistoryContext,
  topic: string,
  { partition, offset }: ReturnType<typeof parsePlace>,
): Promise<void> {
  const state = await topicState(client, topic);
  const low = state.offsets[partition]?.low ?? 0n;
  const heads = state.recorded.heads.filter(
    (head) => head.partition === partition && head.topicId === state.topicId,
  );
  const proof = await proveInclusion(client, { topic, partition, offset, low, heads });
  line(JSON.stringify(proof, null, 2));
}

async function checkFile(
  file: string,
  { root, json }: { readonly root?: string; readonly json?: boolean },
): Promise<void> {
  const { holds, why, head, offset } = checkProof(parseProof(await readJson(file)), root);
  const place = `${head.topic}[${head.partition}]@${offset}`;
  if (json === true) line(JSON.stringify({ holds, why, place, recordedAt: head.recordedAt }));
  else if (holds) line(`${place} is ${why}, recorded ${new Date(head.recordedAt).toISOString()}.`);
  else line(`${place} is not proven: ${why}.`);
  process.exit(holds ? 0 : EXIT_ALTERED);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ReachflowError(`${file} cannot be read: ${errorMessage(error)}`, {
      code: 'PROOF_INVALID',
      domain: 'user',
      hint: 'It takes a file with the JSON that `reachflow verify TOPIC --proof` printed.',
      cause: error,
    });
  }
}

function proofCommand(): Command {
  return new Command('proof')
    .description('checks an inclusion proof, without a broker')
    .argument('<file>', 'what `verify TOPIC --proof` printed')
    .option('--root <hex>', 'the root of the head, as it is known from elsewhere')
    .option('--json', 'as JSON')
    .action(checkFile);
}

/** `reachflow verify`. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('proves that a topic is complete and unaltered, by the heads of its Merkle trees')
    .argument('<topic>', 'logical name, or `proof` to check a file')
    .option('--partition <n>', 'only this partition', numberIn(0, 100_000))
    .option('--from <where>', 'an offset, 30m, 2h, 7d or an ISO time', parseBound)
    .option('--to <where>', 'as --from', parseBound)
    .addOption(
      new Option('--store <name>', 'only what this store was made from').choices(
        sinks.map(({ name }) => name),
      ),
    )
    .option('--record', 'records the heads that are there now, where all is intact')
    .option('--new', 'with --record: reads only what came since the last head')
    .option('--proof <partition@offset>', 'prints the proof of one record, as JSON', parsePlace)
    .option('--json', 'as JSON')
    .option('--config <file>', 'configuration file')
    .addCommand(proofCommand())
    .addHelpText(
      'after',
      '\nExit codes: 0 intact, 1 not done, 2 usage, 3 altered, 4 nothing is recorded.\n\nExamples:\n  reachflow verify event.recorded --record\n  reachflow verify event.recorded --from 2h --json\n  reachflow verify contact.golden --store postgres\n  reachflow verify event.recorded --proof 3@1042 > proof.json\n  reachflow verify proof proof.json\n',
    )
    .action(verify);
}
