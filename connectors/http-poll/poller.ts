import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs } from '../../runtime/backoff.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { PollSource } from './config.ts';
import { type Answer, PollClient, shown } from './http-client.ts';
import { type Page, parsePage, toEvent } from './items.ts';
import { Pace } from './pace.ts';
import { firstPosition, nextLink, stepAfter, urlAt } from './paging.ts';
import type { Position } from './position.ts';
import { SourceWriter, type WriterDeps } from './writer.ts';

export interface PollerDeps extends WriterDeps {
  readonly logger: Logger;
  /** Of each answer. */
  readonly onAnswer: (source: string, status: number) => void;
  /** Of each committed transaction. */
  readonly onRecords: (source: string, count: number) => void;
}

/** A transaction holds so many records of a page at most. */
const TRANSACTION_RECORDS = 1_000;
/** Pages of one round: a source that never ends gets its pause all the same, and goes on behind it. */
const MAX_PAGES = 10_000;
const INITIAL_BACKOFF_MS = 500;
/** What a Retry-After may ask for at most, ms. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** Pulls one source for as long as this process owns it. */
export class Poller {
  readonly name: string;
  readonly #source: PollSource;
  readonly #deps: PollerDeps;
  readonly #partition: number;
  readonly #stop = new AbortController();
  readonly #pace: Pace;
  #running: Promise<void> | undefined;
  #trouble: string | undefined;
  #records = 0;

  /** @param partition of the topic of positions. */
  constructor(name: string, source: PollSource, partition: number, deps: PollerDeps) {
    this.name = name;
    this.#source = source;
    this.#partition = partition;
    this.#deps = deps;
    this.#pace = new Pace(source);
  }

  /** Why it makes no progress; undefined when it does. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Records since it was started. */
  get records(): number {
    return this.#records;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends what it waits for; a transaction under way is committed first. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        await this.#own(() => {
          attempt = 1;
        });
      } catch (error) {
        if (!signal.aborted) await this.#failed(error, attempt);
      }
    }
  }

  /** From the claim of the source to the first failure. @param progress is called when something was committed. */
  async #own(progress: () => void): Promise<void> {
    const { signal } = this.#stop;
    const writer = await SourceWriter.open(this.#deps, this.name, this.#partition, signal);
    const http = new PollClient(this.#source);
    try {
      let position = this.#checked(writer.position);
      while (!signal.aborted) {
        position = await this.#round(writer, http, position, progress);
        this.#trouble = undefined;
        progress();
        await delay(this.#source.intervalMs, undefined, { signal });
      }
    } finally {
      http.close();
      await writer.close();
    }
  }

  /** @throws ReachflowError `POLL_POSITION_OF_OTHER_PAGING`. */
  #checked(position: Position | undefined): Position {
    const { kind } = this.#source.paging;
    if (position === undefined || position.kind === kind)
      return position ?? firstPosition(this.#source);
    throw new ReachflowError(`the position of ${this.name} is one of paging by ${position.kind}`, {
      code: 'POLL_POSITION_OF_OTHER_PAGING',
      domain: 'user',
      hint: 'Give the source another name to begin anew, or put its paging back.',
    });
  }

  /** Pages from a position to the end there is now. */
  async #round(
    writer: SourceWriter,
    http: PollClient,
    from: Position,
    progress: () => void,
  ): Promise<Position> {
    let position = from;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const isFirst = pages === 0;
      const answer = await this.#get(http, position, isFirst);
      if (answer.status === 304) return position;
      const page = parsePage(this.#source, answer.body);
      const link = nextLink(answer.headers['link'], answer.url);
      const facts = { count: page.items.length, document: page.document, nextLink: link };
      const step = stepAfter(this.#source, position, facts);
      // Of a round of several pages the first one's validators say nothing about the others.
      const isWhole = !step.more && (isFirst || this.#source.rounds === 'continue');
      const stays = step.position.at === position.at;
      const next = isWhole && stays ? { ...step.position, ...validatorsOf(answer) } : step.position;
      position = await this.#publish(writer, page, position, next);
      progress();
      if (!step.more) return position;
    }
    return position;
  }

  async #get(http: PollClient, position: Position, isFirst: boolean): Promise<Answer> {
    const { signal } = this.#stop;
    const url = urlAt(this.#source, position);
    const { headers } = this.#source;
    const conditions = isFirst ? conditionsOf(position, url) : {};
    for (let attempt = 1; ; attempt += 1) {
      await this.#pace.request(signal);
      try {
        const answer = await http.get(url, { ...headers, ...conditions }, signal);
        this.#deps.onAnswer(this.name, answer.status);
        if (answer.status === 200 || answer.status === 304) return answer;
        await this.#failed(refusal(answer), attempt, retryAfterMs(answer));
      } catch (error) {
        if (signal.aborted) throw error;
        await this.#failed(error, attempt);
      }
    }
  }

  /** Records of a page that are not taken yet, in transactions of bounded size; the last one has the position behind it. */
  async #publish(
    writer: SourceWriter,
    { items }: Page,
    from: Position,
    behind: Position,
  ): Promise<Position> {
    const { signal } = this.#stop;
    const left = items.slice(from.taken);
    await this.#pace.records(left.length);
    const isSame = JSON.stringify(from) === JSON.stringify(behind);
    if (left.length === 0 && isSame) return from;
    for (let at = 0; at === 0 || at < left.length; at += TRANSACTION_RECORDS) {
      signal.throwIfAborted();
      const now = Date.now();
      const chunk = left.slice(at, at + TRANSACTION_RECORDS);
      const events = chunk.map((item) => toEvent(this.name, this.#source, item, now));
      const { validators: _of, ...page } = from;
      const isLast = at + chunk.length >= left.length;
      const position = isLast ? behind : { ...page, taken: from.taken + at + chunk.length };
      await writer.write(events, position, now);
      this.#records += chunk.length;
      this.#deps.onRecords(this.name, chunk.length);
    }
    return behind;
  }

  /** Remembers what is wrong, and waits before the next attempt. */
  async #failed(error: unknown, attempt: number, atLeastMs = 0): Promise<void> {
    this.#trouble = errorMessage(error);
    const { maxBackoffMs: maxMs } = this.#source;
    const waitMs = Math.max(
      atLeastMs,
      backoffMs(attempt, { initialMs: INITIAL_BACKOFF_MS, maxMs }),
    );
    this.#deps.logger.warn(
      { source: this.name, attempt, waitMs, err: error },
      `http-poll: ${this.#trouble}`,
    );
    await delay(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}

function validatorsOf({ headers, url }: Answer): Pick<Position, 'validators'> {
  const { etag, 'last-modified': lastModified } = headers;
  if (etag === undefined && lastModified === undefined) return {};
  return {
    validators: {
      url: url.href,
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { lastModified }),
    },
  };
}

function conditionsOf({ validators }: Position, url: URL): Record<string, string> {
  if (validators?.url !== url.href) return {};
  const { etag, lastModified } = validators;
  return {
    ...(etag === undefined ? {} : { 'if-none-match': etag }),
    ...(lastModified === undefined ? {} : { 'if-modified-since': lastModified }),
  };
}

/** RFC 9110: seconds, or a date. */
function retryAfterMs({ headers }: Answer): number {
  const text = headers['retry-after'];
  if (text === undefined) return 0;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}

function refusal({ status, url }: Answer): ReachflowError {
  const isOurs = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return new ReachflowError(`${shown(url)} answers ${status}`, {
    code: 'POLL_REFUSED',
    domain: isOurs ? 'user' : 'external',
    retry: 'backoff',
    hint: isOurs
      ? 'Check the URL and the credentials of the source; it is tried again.'
      : 'The source is tried again, later if it says so.',
  });
}
