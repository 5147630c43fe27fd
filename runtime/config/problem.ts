import { closest, distance } from 'fastest-levenshtein';
import { ReachflowError } from '../errors.ts';

/** Where a value came from. `stack`: the endpoints of the running stack. */
export type ConfigSource =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stack' }
  | { readonly kind: 'default' };

/** One thing that is wrong with a configuration. Holds no secret. */
export interface ConfigProblem {
  readonly source: ConfigSource;
  /** The key as in a file, e.g. `kafka.lingerMs`; undefined when it concerns a whole file or an unknown variable. */
  readonly key?: string;
  /** The value as given, redacted and cut. */
  readonly given?: string;
  /** What is wrong, or what is expected. */
  readonly message: string;
  /** The nearest name that exists. */
  readonly nearest?: string;
}

/** A configuration that cannot be used, with everything that is wrong with it. */
export class ConfigError extends ReachflowError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map((problem) => `  - ${problemText(problem)}`);
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`the configuration has ${count}:\n${lines.join('\n')}`, {
      code: 'CONFIG_INVALID',
      domain: 'user',
      hint: 'Every setting, with its type and default: `reachflow config docs`.',
    });
    this.problems = problems;
  }
}

/** A source as people read it. */
export function sourceText(source: ConfigSource): string {
  switch (source.kind) {
    case 'env':
      return source.name;
    case 'file':
      return source.path;
    default:
      return source.kind;
  }
}

/** One line: source, key, value, what is expected, and the name that was probably meant. */
export function problemText({ source, key, given, message, nearest }: ConfigProblem): string {
  const what = key === undefined ? sourceText(source) : `${key} (${sourceText(source)})`;
  const is = given === undefined ? '' : ` is ${given}`;
  const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return `${what}${is}: ${message}${meant}`;
}

/** The name of `names` that is most like `name`, unless none is. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const best = closest(
    name.toLowerCase(),
    names.map((candidate) => candidate.toLowerCase()),
  );
  const found = names.find((candidate) => candidate.toLowerCase() === best);
  const limit = Math.max(2, Math.floor(name.length * 0.4));
  return distance(name.toLowerCase(), best) <= limit ? found : undefined;
}

const GIVEN_LENGTH = 80;

/** A value, already redacted, as a problem shows it. */
export function givenText(value: unknown): string {
  const text = value === undefined ? 'missing' : JSON.stringify(value);
  return text.length <= GIVEN_LENGTH ? text : `${text.slice(0, GIVEN_LENGTH)}…`;
}
