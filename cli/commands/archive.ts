import { Command } from 'commander';
import { archivePartition } from '../../history/archive/archiver.ts';
import {
  archivedIds,
  archivedPartitions,
  archivedTopics,
  readManifest,
  segmentNames,
} from '../../history/archive/catalog.ts';
import { pruneArchive } from '../../history/archive/prune.ts';
import { type HistoryBatch, openHistory } from '../../history/archive/reader.ts';
import { type ArchiveReport, verifyArchive } from '../../history/archive/verify.ts';
import { readHeads } from '../../history/head-log.ts';
import { topicState } from '../../history/verify/topic.ts';
import { jsonValue } from '../../runtime/letters/where.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { isTopicName } from '../../schemas/topics.ts';
import { formatBytes } from '../checkpoint-view.ts';
import { type HistoryContext, openHistoryContext } from '../history/context.ts';
import { ReadProgress } from '../history/progress.ts';
import { offsetsAsText, printArchiveReport } from '../history/verify-view.ts';
import { line, note, table } from '../output.ts';
import { numberIn } from './arguments.ts';
import { EXIT_ALTERED } from './verify.ts';

interface CommonOptions {
  readonly partition?: number;
  readonly config?: string;
  readonly json?: boolean;
}

async function run(
  topic: string,
  options: CommonOptions & { readonly all?: boolean },
): Promise<void> {
  const {
    client,
    codec,
    claims,
    archive: storage,
    config,
  } = await openHistoryContext(options.config);
  const state = await topicState(client, topic);
  const deps = { client, codec, payloads: claims.reader, storage, config: config.archive };
  const { namespace } = client.config;
  let segments = 0;
  for (const [partition, { low, lastStable: end }] of state.offsets.entries()) {
    if (options.partition !== undefined && options.partition !== partition) continue;
    const place = { namespace, topic, topicId: state.topicId, partition };
    const done = await archivePartition(deps, {
      ...{ place, low, end, all: options.all === true },
      onSegment: (manifest) =>
        line(
          `${topic}[${partition}] ${manifest.from}–${BigInt(manifest.to) - 1n}: ${manifest.records} records, ${formatBytes(manifest.bytes)} as ${formatBytes(manifest.log.bytes)}`,
        ),
    });
    segments += done.segments;
    if (done.lost !== undefined)
      note(
        `${topic}[${partition}]: offsets ${done.lost.from} to ${done.lost.to - 1n} were deleted before they were archived`,
      );
    if (done.missingClaims > 0)
      note(
        `${topic}[${partition}]: ${done.missingClaims} payloads were gone before they were archived`,
      );
  }
  line(`${segments} segments were archived to ${storage.location}.`);
  process.exit(0);
}

async function listSegments(topic: string | undefined, options: CommonOptions): Promise<void> {
  const { client, archive: storage } = await openHistoryContext(options.config);
  const { namespace } = client.config;
  const rows: string[][] = [];
  for (const name of topic === undefined ? await archivedTopics(storage, namespace) : [topic]) {
    for (const topicId of await archivedIds(storage, namespace, name)) {
      for (const partition of await archivedPartitions(storage, {
        namespace,
        topic: name,
        topicId,
      })) {
        const place = { namespace, topic: name, topicId, partition };
        for (const segment of await segmentNames(storage, place)) {
          const manifest = await readManifest(storage, place, segment);
          if (options.json === true) line(JSON.stringify(manifest));
          else {
            const times = [manifest.minTimestamp, manifest.maxTimestamp].map((ms) =>
              new Date(ms).toISOString(),
            );
            rows.push([
              `${name}[${partition}]`,
              `${manifest.from}–${BigInt(manifest.to) - 1n}`,
              String(manifest.records),
              formatBytes(manifest.log.bytes),
              times.join(' – '),
            ]);
          }
        }
      }
    }
  }
  if (options.json !== true)
    line(
      rows.length === 0
        ? 'The archive has nothing of it.'
        : table(['partition', 'offsets', 'records', 'stored', 'times'], rows),
    );
  process.exit(0);
}

async function verify(
  topic: string,
  options: CommonOptions & { readonly offline?: boolean },
): Promise<void> {
  const { client, archive: storage } = await openHistoryContext(options.config);
  const { namespace } = client.config;
  const { heads } = options.offline === true ? { heads: [] } : await readHeads(client, topic);
  const progress = new ReadProgress();
  const reports: ArchiveReport[] = [];
  for (const topicId of await archivedIds(storage, namespace, topic)) {
    for (const partition of await archivedPartitions(storage, { namespace, topic, topicId })) {
      if (options.partition !== undefined && options.partition !== partition) continue;
      const own = heads.filter((head) => head.partition === partition && head.topicId === topicId);
      const place = { namespace, topic, topicId, partition };
      const onProgress = (done: number, total: number, bytes: number) =>
        progress.show(`${topic}[${partition}]`, done / total, bytes);
      reports.push(await verifyArchive(storage, { place, heads: own, onProgress }));
    }
  }
  progress.end();
  if (options.json === true) line(JSON.stringify({ topic, partitions: reports }, offsetsAsText));
  else printArchiveReport(topic, reports);
  process.exit(reports.every(({ faults }) => faults.length === 0) ? 0 : EXIT_ALTERED);
}

async function fetchRecords(
  topic: string,
  options: CommonOptions & {
    readonly partition: number;
    readonly from?: bigint;
    readonly to?: bigint;
  },
): Promise<void> {
  const { client, archive: storage, claims, config } = await openHistoryContext(options.config);
  const reader = await openHistory({ client, storage, topic });
  const registry = createSchemaRegistryClient(config.registry.url, config.registry);
  const codec = new TopicCodec(registry, client.physical, reader.payloads(claims.reader));
  const range = await reader.range(options.partition);
  const [from, to] = [options.from ?? range.from, options.to ?? range.to];
  for await (const batch of reader.read(options.partition, from, to))
    await printBatch(codec, topic, batch);
  process.exit(0);
}

async function printBatch(
  codec: TopicCodec,
  topic: string,
  { records }: HistoryBatch,
): Promise<void> {
  const values = records.map(({ value }) => value);
  const isKnown = isTopicName(topic);
  if (isKnown)
    await codec.load(
      topic,
      values,
      records.map(({ key }) => key),
    );
  const payloads = isKnown ? await codec.allPayloads(topic, values) : undefined;
  for (const { offset, timestamp, key, value, headers } of records) {
    const decoded =
      isKnown && value !== null
        ? codec.decode(topic, value, payloads)
        : (value?.toString('base64') ?? null);
    const names = isKnown ? codec.decodeKey(topic, key) : (key?.toString('base64') ?? null);
    const texts = Object.fromEntries(
      Object.entries(headers).map(([name, bytes]) => [name, bytes.toString('utf8')]),
    );
    const text = `${JSON.stringify({ offset: String(offset), timestamp, key: names, value: decoded, headers: texts }, jsonValue)}\n`;
    if (!process.stdout.write(text))
      await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}

async function prune(
  topic: string,
  options: CommonOptions & { readonly dryRun?: boolean },
): Promise<void> {
  const {
    client,
    archive: storage,
    config,
  }: HistoryContext = await openHistoryContext(options.config);
  const { namespace } = client.config;
  const { retentionDays } = config.archive;
  let [segments, orphans, bytes] = [0, 0, 0];
  for (const topicId of await archivedIds(storage, namespace, topic)) {
    for (const partition of await archivedPartitions(storage, { namespace, topic, topicId })) {
      const place = { namespace, topic, topicId, partition };
      const pruned = await pruneArchive(storage, {
        place,
        retentionDays,
        now: Date.now(),
        dryRun: options.dryRun === true,
      });
      segments += pruned.segments;
      orphans += pruned.orphans;
      bytes += pruned.bytes;
    }
  }
  const what = options.dryRun === true ? 'would be removed' : 'removed';
  line(
    `${segments} segments and ${orphans} objects of killed runs ${what}: ${formatBytes(bytes)}.`,
  );
  process.exit(0);
}

function withCommon(command: Command): Command {
  return command
    .option('--partition <n>', 'only this partition', numberIn(0, 100_000))
    .option('--config <file>', 'configuration file');
}

/** `reachflow archive`. */
export function archiveCommand(): Command {
  const command = new Command('archive').description(
    "records of topics, kept beyond the brokers' retention",
  );
  withCommon(command.command('run'))
    .description('archives what is new in a topic; started again it goes on where it ended')
    .argument('<topic>', 'logical name')
    .option('--all', 'the newest records, too, which do not fill a segment yet')
    .action(run);
  withCommon(command.command('list'))
    .description('segments of the archive')
    .argument('[topic]', 'logical name; all by default')
    .option('--json', 'manifests, one a line')
    .action(listSegments);
  withCommon(command.command('verify'))
    .description(
      'every object against its hash, every record against the tree, segments against each other and the recorded heads',
    )
    .argument('<topic>', 'logical name')
    .option('--offline', 'without the heads that the brokers have')
    .option('--json', 'as JSON')
    .action(verify);
  command
    .command('fetch')
    .description('records as JSON lines, from the archive and then from the topic')
    .argument('<topic>', 'logical name')
    .requiredOption('--partition <n>', 'partition', numberIn(0, 100_000))
    .option('--from <offset>', 'first offset; the first there is by default', BigInt)
    .option('--to <offset>', 'exclusive; the end by default', BigInt)
    .option('--config <file>', 'configuration file')
    .action(fetchRecords);
  withCommon(command.command('prune'))
    .description('removes segments older than archive.retentionDays, and what killed runs left')
    .argument('<topic>', 'logical name')
    .option('--dry-run', 'say what would be removed')
    .action(prune);
  return command.addHelpText(
    'after',
    '\nExamples:\n  reachflow archive run event.recorded --all\n  reachflow archive list\n  reachflow archive verify event.recorded\n  reachflow archive fetch event.recorded --partition 0 --from 0 --to 100\n',
  );
}
