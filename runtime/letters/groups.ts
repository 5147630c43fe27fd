import type { DeadLetter, ReadLetter } from '../delivery/letter.ts';

/** Letters that failed alike. */
export interface FailureGroup {
  readonly fingerprint: string;
  readonly topic: string;
  readonly consumer: string;
  readonly step: string;
  readonly code: string;
  /** Of the first one. */
  readonly message: string;
  readonly samples: DeadLetter[];
  count: number;
  /** ms since the epoch. */
  firstFailure: number;
  lastFailure: number;
  redriven: number;
  dropped: number;
}

const SAMPLES = 3;
/** Kinds of failure that are told apart; the rest is counted as `other`. A fingerprint has no values in it: there are few. */
const MAX_GROUPS = 10_000;

/** Counts letters by fingerprint, and keeps the newest. */
export class Collected {
  readonly #groups = new Map<string, FailureGroup>();
  readonly #limit: number;
  #newest: DeadLetter[] = [];
  total = 0;

  /** @param limit newest letters to keep. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(read: ReadLetter): void {
    // What is kept must not keep all that was fetched with it.
    const letter = read.copy();
    this.total += 1;
    this.#count(letter);
    this.#newest.push(letter);
    if (this.#newest.length > this.#limit * 2 + 1_000) this.#trim();
  }

  #count(letter: DeadLetter): void {
    const { info, resolution } = letter;
    const known = this.#groups.has(info.fingerprint) || this.#groups.size < MAX_GROUPS;
    const fingerprint = known ? info.fingerprint : 'other';
    const group = this.#groups.get(fingerprint) ?? newGroup(letter, fingerprint);
    this.#groups.set(fingerprint, group);
    group.count += 1;
    group.firstFailure = Math.min(group.firstFailure, info.firstFailure);
    group.lastFailure = Math.max(group.lastFailure, info.lastFailure);
    if (resolution === 'redriven') group.redriven += 1;
    if (resolution === 'dropped') group.dropped += 1;
    if (group.samples.length < SAMPLES) group.samples.push(letter);
  }

  #trim(): void {
    this.#newest.sort((a, b) => b.info.lastFailure - a.info.lastFailure);
    this.#newest = this.#newest.slice(0, this.#limit);
  }

  /** Most frequent first. */
  groups(): FailureGroup[] {
    return [...this.#groups.values()].sort((a, b) => b.count - a.count);
  }

  /** Newest first. */
  newest(): readonly DeadLetter[] {
    this.#trim();
    return this.#newest;
  }
}

function newGroup({ info }: DeadLetter, fingerprint: string): FailureGroup {
  const { topic, consumer, step, code, message, firstFailure, lastFailure } = info;
  const counts = { count: 0, redriven: 0, dropped: 0, samples: [] };
  return {
    fingerprint,
    topic,
    consumer,
    step,
    code,
    message,
    firstFailure,
    lastFailure,
    ...counts,
  };
}
