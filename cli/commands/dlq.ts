import { Command, InvalidArgumentError } from 'commander';
import type { DeadLetter } from '../../runtime/delivery/dlq-reader.ts';
import { dlqTopics, readDlq } from '../../runtime/delivery/dlq-reader.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName } from '../../schemas/topics.ts';
import { loadAppConfig } from '../config.ts';
import { line, table } from '../output.ts';
import { kafkaOf } from '../product.ts';

interface Group {
  readonly fingerprint: string;
  readonly dlq: string;
  readonly code: string;
  readonly step: string;
  readonly sample: string;
  count: number;
  last: number;
}

interface ListOptions {
  readonly topic?: string;
  readonly limit: number;
  readonly groups?: boolean;
  readonly json?: boolean;
  readonly config?: string;
}

/** The newest `limit` letters of all DLQs, and how many there are of each kind of failure. */
class Collected {
  readonly groups = new Map<string, Group>();
  #newest: DeadLetter[] = [];
  readonly #limit: number;
  total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(letter: DeadLetter): void {
    const { info, dlq } = letter;
    this.total += 1;
    const group = this.groups.get(info.fingerprint);
    if (group === undefined) {
      const { fingerprint, code, step, message, lastFailure } = info;
      this.groups.set(fingerprint, {
        fingerprint,
        dlq,
        code,
        step,
        sample: message,
        count: 1,
        last: lastFailure,
      });
    } else {
      group.count += 1;
      group.last = Math.max(group.last, info.lastFailure);
    }
    this.#newest.push(letter);
    if (this.#newest.length > this.#limit * 2 + 1_000) this.#trim();
  }

  #trim(): void {
    this.#newest.sort((a, b) => b.info.lastFailure - a.info.lastFailure);
    this.#newest = this.#newest.slice(0, this.#limit);
  }

  newest(): readonly DeadLetter[] {
    this.#trim();
    return this.#newest;
  }
}

function time(ms: number): string {
  return Number.isFinite(ms) && ms > 0
    ? new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
    : '';
}

function short(text: string, width: number): string {
  const flat = text.replace(/\s+/g, ' ');
  return flat.length <= width ? flat : `${flat.slice(0, width - 1)}…`;
}

/** A letter with its key as text: decoded where the registry knows it, its bytes in hex where not. */
interface Readable extends DeadLetter {
  readonly key: string;
}

async function readable(codec: TopicCodec, letter: DeadLetter): Promise<Readable> {
  const { info, record } = letter;
  const hex = `0x${record.key?.toString('hex') ?? ''}`;
  if (!isTopicName(info.topic)) return { ...letter, key: hex };
  try {
    await codec.load(info.topic, [], [record.key]);
    return { ...letter, key: codec.decodeKey(info.topic, record.key) };
  } catch {
    return { ...letter, key: hex };
  }
}

function toJson({ dlq, dlqPartition, dlqOffset, info, record, key }: Readable): string {
  return JSON.stringify({
    dlq,
    dlqPartition,
    dlqOffset: String(dlqOffset),
    key,
    keyBase64: record.key?.toString('base64') ?? null,
    valueBytes: record.value?.length ?? 0,
    ...info,
  });
}

function printGroups(groups: Iterable<Group>): void {
  const rows = [...groups].sort((a, b) => b.count - a.count);
  line(
    table(
      ['count', 'fingerprint', 'queue', 'code', 'last', 'for example'],
      rows.map((g) => [
        String(g.count),
        g.fingerprint,
        g.dlq,
        g.code,
        time(g.last),
        short(g.sample, 60),
      ]),
    ),
  );
}

function printLetters(letters: readonly Readable[]): void {
  line(
    table(
      ['time', 'record', 'key', 'by', 'code', 'why'],
      letters.map(({ info, key }) => [
        time(info.lastFailure),
        `${info.topic}[${info.partition}]@${info.offset}`,
        short(key, 20),
        `${info.consumer}/${info.step}`,
        info.code,
        short(info.message, 60),
      ]),
    ),
  );
}

function noQueue(all: readonly string[], filter: string | undefined): ReachflowError {
  return new ReachflowError(
    filter === undefined ? 'there are no dead letter queues' : `no queue's name contains ${filter}`,
    {
      code: 'DLQ_NOT_FOUND',
      domain: 'user',
      hint:
        all.length === 0
          ? 'The first `reachflow run` creates them.'
          : `There are: ${all.join(', ')}.`,
    },
  );
}

async function list(options: ListOptions): Promise<void> {
  const { config } = await loadAppConfig(
    options.config === undefined ? {} : { file: options.config },
  );
  const { client, codec } = kafkaOf(config, createLogger({ ...config.log, level: 'error' }));
  const collected = new Collected(options.limit);
  const queues = await dlqTopics(client, options.topic);
  if (queues.length === 0) throw noQueue(await dlqTopics(client), options.topic);
  for (const queue of queues) await readDlq(client, queue, (letter) => collected.add(letter));
  const newest: Readable[] = [];
  for (const letter of collected.newest()) newest.push(await readable(codec, letter));
  if (options.json === true) {
    for (const letter of newest) line(toJson(letter));
    return;
  }
  if (collected.total === 0) {
    line(`No dead letters in ${queues.length} queues.`);
    return;
  }
  printGroups(collected.groups.values());
  if (options.groups !== true) printLetters(newest);
  line(`${collected.total} dead letters in ${queues.length} queues, kept 14 days.`);
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100_000) {
    throw new InvalidArgumentError('a whole number from 1 to 100000');
  }
  return limit;
}

/** `reachflow dlq`. */
export function dlqCommand(): Command {
  const dlq = new Command('dlq').description('records that could not be delivered, and why');
  dlq
    .command('list')
    .description('failures by kind, then the newest dead letters')
    .option('--topic <text>', 'only queues whose name contains this')
    .option('--limit <n>', 'dead letters to show', parseLimit, 20)
    .option('--groups', 'only the kinds of failure')
    .option('--json', 'one JSON object a line')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow dlq list\n  reachflow dlq list --topic contact.golden --json --limit 100\n',
    )
    .action(async (options: ListOptions) => {
      await list(options);
      process.exit(0);
    });
  return dlq;
}
