import { resultFor } from '../providers/local/facts.ts';
import { type Provider, providerKinds } from '../providers/provider.ts';
import { readAnswers } from '../providers/shapes.ts';

/** The local provider's answers without its server. @param onAsked called with each kind and its subjects. */
export function inProcessProviders(
  onAsked: (kind: string, subjects: readonly string[]) => void = () => undefined,
): readonly Provider[] {
  return providerKinds.map((kind) => ({
    kind,
    async ask(subjects) {
      onAsked(kind, subjects);
      const results = subjects.map((subject) => resultFor(kind, subject));
      return readAnswers(kind, subjects, { results }) ?? new Map();
    },
  }));
}
