import { ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { type DlqStretch, dlqStretches, readLetters } from './dlq-reader.ts';
import type { ReadLetter } from './letter.ts';
import { type LetterKind, LetterKinds } from './letter-kinds.ts';
import type { Resolutions } from './resolutions.ts';

/** Chooses among letters that nothing was done with; keeps their order. */
export type SelectLetters = (letters: readonly ReadLetter[]) => Promise<readonly ReadLetter[]>;

/** A partition of a DLQ, and the letters of it that must overtake others. */
export interface PlannedStretch extends DlqStretch {
  /** Selected letters in it. */
  readonly letters: number;
  /**
   * Selected letters of an older record than one before them, by the offset of that record: what failed again after a
   * redrive stands behind younger records of its key. Copies.
   */
  readonly early: readonly ReadLetter[];
}

export interface RedrivePlan {
  readonly stretches: readonly PlannedStretch[];
  /** To be sent. */
  readonly letters: number;
  /** Left out, as they came back too often. */
  readonly guarded: number;
  /** Left out, as no record is behind them: what a timer or a table's change led to. */
  readonly withoutRecord: number;
  /** Of the letters to be dealt with, most frequent first. */
  readonly kinds: readonly LetterKind[];
}

export interface PlanOptions {
  readonly dlqs: readonly string[];
  readonly select: SelectLetters;
  /** Letters that came back so often are left out. */
  readonly maxReplays: number;
  /** Whether letters are going to be sent: dropping has no limits. */
  readonly sends: boolean;
}

/** Bytes of letters out of order that are held in memory. */
const MAX_EARLY_BYTES = 134_217_728;
/** What a letter takes beside its bytes. */
const EARLY_OVERHEAD = 500;

/**
 * Looks at every letter and notes what a redrive would do. Nothing is written. Letters that come later are no part of
 * the plan: one that fails again is not sent again by the same command.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `DLQ_DISORDERED`, and what `select` throws.
 */
export async function planRedrive(
  client: KafkaClient,
  resolutions: Resolutions,
  options: PlanOptions,
): Promise<RedrivePlan> {
  const planner = new Planner(options);
  for (const stretch of await dlqStretches(client, options.dlqs)) {
    planner.begin(stretch);
    await readLetters(client, stretch, resolutions, (letters) => planner.add(letters));
    planner.end();
  }
  return planner.plan();
}

class Planner {
  readonly #options: PlanOptions;
  readonly #stretches: PlannedStretch[] = [];
  #stretch: DlqStretch | undefined;
  #early: ReadLetter[] = [];
  #earlyBytes = 0;
  #newest = -1;
  #count = 0;
  readonly #kinds = new LetterKinds();
  #guarded = 0;
  #withoutRecord = 0;

  constructor(options: PlanOptions) {
    this.#options = options;
  }

  begin(stretch: DlqStretch): void {
    this.#stretch = stretch;
    this.#newest = -1;
    this.#early = [];
    this.#count = 0;
  }

  async add(letters: readonly ReadLetter[]): Promise<void> {
    for (const letter of await this.#options.select(letters.filter(isOpen))) this.#addOne(letter);
  }

  #addOne(letter: ReadLetter): void {
    const { sends, maxReplays } = this.#options;
    const { originOffset, replayCount } = letter;
    if (sends && originOffset < 0) {
      this.#withoutRecord += 1;
      return;
    }
    if (sends && replayCount >= maxReplays) {
      this.#guarded += 1;
      return;
    }
    this.#count += 1;
    this.#kinds.add(letter);
    if (!sends) return;
    if (originOffset >= this.#newest) this.#newest = originOffset;
    else this.#addEarly(letter);
  }

  #addEarly(letter: ReadLetter): void {
    this.#earlyBytes += letter.record.bytes + EARLY_OVERHEAD;
    if (this.#earlyBytes > MAX_EARLY_BYTES) throw disordered(letter.dlq);
    this.#early.push(letter.copy());
  }

  end(): void {
    if (this.#stretch === undefined || this.#count === 0) return;
    const early = this.#early.toSorted((a, b) => a.originOffset - b.originOffset);
    this.#stretches.push({ ...this.#stretch, letters: this.#count, early });
  }

  plan(): RedrivePlan {
    return {
      stretches: this.#stretches,
      letters: this.#stretches.reduce((sum, { letters }) => sum + letters, 0),
      guarded: this.#guarded,
      withoutRecord: this.#withoutRecord,
      kinds: this.#kinds.list(),
    };
  }
}

/** Whether nothing was done with it yet. */
export function isOpen({ resolution }: ReadLetter): boolean {
  return resolution === undefined;
}

function disordered(dlq: string): ReachflowError {
  return new ReachflowError(`too many letters of ${dlq} are out of order to hold them in memory`, {
    code: 'DLQ_DISORDERED',
    domain: 'user',
    hint: 'Select fewer at a time: one fingerprint, or --code, --since, --where.',
  });
}
