import { randomUUID } from 'node:crypto';
import PQueue from 'p-queue';
import {
  type DlqStretch,
  dlqStretches,
  dlqTopics,
  readLetters,
} from '../../runtime/delivery/dlq-reader.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { runRedrive } from '../../runtime/delivery/redrive.ts';
import { planRedrive } from '../../runtime/delivery/redrive-plan.ts';
import { type Resolution, Resolutions } from '../../runtime/delivery/resolutions.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { decodeLetters } from '../../runtime/letters/decode.ts';
import { Collected } from '../../runtime/letters/groups.ts';
import { type GuardOptions, guardedSelector } from '../../runtime/letters/guard.ts';
import { letterData } from '../../runtime/letters/letter-data.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { maySee, type Viewer } from '../access.ts';
import type { ConsoleConfig } from '../config.ts';
import { busyWithLetters, notFound, tooMany } from '../problems.ts';
import { chosen, filtered, type LetterChoice, type LetterFilter, ofTenants } from './filter.ts';

export interface DeskDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly consumers: Omit<GuardOptions, 'force'>;
  readonly config: Pick<ConsoleConfig, 'maxLetters'>;
}

/** A letter in a list. */
export interface ListedLetter {
  readonly dlq: string;
  readonly partition: number;
  readonly offset: string;
  readonly topic: string;
  readonly key: string;
  readonly consumer: string;
  readonly step: string;
  readonly code: string;
  readonly message: string;
  readonly tenant: string;
  readonly fingerprint: string;
  readonly replays: number;
  /** ms since the epoch. */
  readonly at: number;
  readonly resolution: Resolution | null;
}

export interface LetterList {
  /** Kinds of failure, most frequent first. */
  readonly kinds: readonly Readonly<Record<string, unknown>>[];
  /** Newest first. */
  readonly letters: readonly ListedLetter[];
  /** That match. */
  readonly total: number;
  readonly queues: number;
  /** Whether older ones were not looked at. */
  readonly isCut: boolean;
}

/** What became of a choice. */
export interface Resolved {
  readonly run: string;
  readonly letters: number;
  /** Left out: came back too often; have no record behind them. */
  readonly guarded: number;
  readonly withoutRecord: number;
}

const MAX_REPLAYS = 3;
const MAX_KINDS = 200;
const MAX_MESSAGE = 400;
/** Lists that wait for their turn. */
const MAX_WAITING = 32;

/** Lists, shows, redrives and drops dead letters. Looks through queues one list at a time. */
export class LetterDesk {
  readonly #deps: DeskDeps;
  readonly #turns = new PQueue({ concurrency: 1 });
  #isResolving = false;

  constructor(deps: DeskDeps) {
    this.#deps = deps;
  }

  /** @throws ReachflowError `KAFKA_UNAVAILABLE`, `REGISTRY_UNAVAILABLE`; ProblemError `CONSOLE_BUSY`. */
  async list(viewer: Viewer, filter: LetterFilter): Promise<LetterList> {
    if (this.#turns.size >= MAX_WAITING) throw tooMany('lists of letters');
    return this.#turns.add(() => this.#list(viewer, filter));
  }

  async #list(viewer: Viewer, filter: LetterFilter): Promise<LetterList> {
    const { client, codec, config } = this.#deps;
    const queues = await dlqTopics(client);
    const all = await dlqStretches(client, queues);
    const most = BigInt(Math.ceil(config.maxLetters / Math.max(1, all.length)));
    const stretches = all.map((stretch) => newest(stretch, most));
    const resolutions = await Resolutions.read(client);
    const select = filtered(codec, viewer, filter);
    const collected = new Collected(filter.limit);
    for (const stretch of stretches) {
      await readLetters(client, stretch, resolutions, async (letters) => {
        for (const letter of await select(letters)) collected.add(letter);
      });
    }
    const letters = collected.newest();
    const decoded = await decodeLetters(codec, letters);
    return {
      kinds: collected
        .groups()
        .slice(0, MAX_KINDS)
        .map(({ samples: _samples, message, ...kind }) => ({
          ...kind,
          message: message.slice(0, MAX_MESSAGE),
        })),
      letters: letters.map((letter, i) => listed(letter, decoded[i]?.key ?? '')),
      total: collected.total,
      queues: queues.length,
      isCut: stretches.some(({ from }, i) => from !== all[i]?.from),
    };
  }

  /** A letter in full: failure, headers, decoded value, bytes. @throws ProblemError 404, also for another tenant's. */
  async show(viewer: Viewer, dlq: string, partition: number, offset: bigint) {
    const { client, codec } = this.#deps;
    const missing = () => notFound('such letter', 'Letters expire after 14 days; list them again.');
    if (!dlq.endsWith('.dlq')) throw missing();
    const stretch = (await dlqStretches(client, [dlq])).find((own) => own.partition === partition);
    if (stretch === undefined || offset < stretch.from || offset >= stretch.to) throw missing();
    const resolutions = await Resolutions.read(client);
    const own = ofTenants(codec, (tenant) => maySee(viewer, tenant));
    let found: DeadLetter | undefined;
    const one = { ...stretch, from: offset, to: offset + 1n };
    await readLetters(client, one, resolutions, async (letters) => {
      const [letter] = viewer.tenants === '*' ? letters : await own(letters);
      found ??= letter?.copy();
    });
    if (found === undefined) throw missing();
    const [decoded] = await decodeLetters(codec, [found]);
    return letterData(found, decoded, true);
  }

  /**
   * Sends letters back to the consumer that gave up on them, or marks them as dealt with. One at a time.
   * @throws ProblemError 409 `REDRIVE_RUNNING`; ReachflowError as `guardedSelector`, `planRedrive` and `runRedrive`.
   */
  async resolve(viewer: Viewer, choice: LetterChoice, resolution: Resolution): Promise<Resolved> {
    if (this.#isResolving) throw busyWithLetters();
    this.#isResolving = true;
    try {
      return await this.#resolve(viewer, choice, resolution);
    } finally {
      this.#isResolving = false;
    }
  }

  async #resolve(viewer: Viewer, choice: LetterChoice, resolution: Resolution): Promise<Resolved> {
    const { client, consumers } = this.#deps;
    const { select: asked, dlqs } = chosen(choice);
    const sends = resolution === 'redriven';
    const select = sends ? guardedSelector(asked, { ...consumers, force: false }) : asked;
    const queues = await dlqTopics(client);
    const resolutions = await Resolutions.read(client);
    const plan = await planRedrive(client, resolutions, {
      dlqs: dlqs === undefined ? queues : queues.filter((queue) => dlqs.includes(queue)),
      ...{ select, maxReplays: MAX_REPLAYS, sends },
    });
    const { guarded, withoutRecord } = plan;
    const run = randomUUID();
    if (plan.letters === 0) return { run, letters: 0, guarded, withoutRecord };
    const audit = { run, actor: `${viewer.name}@console`, selection: { ...choice }, force: false };
    const { letters } = await runRedrive(client, {
      ...{ plan, select, maxReplays: MAX_REPLAYS, audit: { ...audit, resolution } },
    });
    return { run, letters, guarded, withoutRecord };
  }
}

/** The end of a stretch. */
function newest(stretch: DlqStretch, most: bigint): DlqStretch {
  const from = stretch.to - most;
  return from > stretch.from ? { ...stretch, from } : stretch;
}

function listed(letter: DeadLetter, key: string): ListedLetter {
  const { dlq, dlqPartition, dlqOffset, info, resolution } = letter;
  const { topic, consumer, step, code, tenant, fingerprint } = info;
  return {
    ...{ dlq, partition: dlqPartition, offset: String(dlqOffset) },
    ...{ topic, key, consumer, step, code, tenant, fingerprint },
    message: info.message.slice(0, MAX_MESSAGE),
    replays: info.replayCount,
    at: info.lastFailure,
    resolution: resolution ?? null,
  };
}
