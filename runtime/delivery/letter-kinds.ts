import type { ReadLetter } from './letter.ts';

/** Letters that failed alike. */
export interface LetterKind {
  readonly fingerprint: string;
  readonly topic: string;
  readonly consumer: string;
  readonly step: string;
  readonly code: string;
  readonly letters: number;
}

/** Kinds that are told apart; a fingerprint has no values in it, there are few. */
const MAX_KINDS = 1_000;

/** Counts letters by how they failed. */
export class LetterKinds {
  readonly #kinds = new Map<string, LetterKind & { letters: number }>();

  add(letter: ReadLetter): void {
    const print = letter.text('fingerprint');
    const fingerprint = this.#kinds.has(print) || this.#kinds.size < MAX_KINDS ? print : 'other';
    const known = this.#kinds.get(fingerprint);
    if (known !== undefined) {
      known.letters += 1;
      return;
    }
    const [topic, consumer] = [letter.text('topic'), letter.text('consumer')];
    const [step, code] = [letter.text('step'), letter.text('code')];
    this.#kinds.set(fingerprint, { fingerprint, topic, consumer, step, code, letters: 1 });
  }

  /** Most frequent first. */
  list(): LetterKind[] {
    return [...this.#kinds.values()].toSorted((a, b) => b.letters - a.letters);
  }
}
