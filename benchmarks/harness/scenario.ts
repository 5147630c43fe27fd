import type { Contestant } from './contestant.ts';
import type { Environment, StoreName } from './environment.ts';
import type { Report } from './report.ts';

/** What a scenario is run with; each takes what it needs. */
export interface ScenarioOptions {
  readonly records: number;
  readonly runs: number;
  readonly warmUp: number;
  readonly seed: number;
  /** Keys in state, for the scenarios that vary them. */
  readonly keys: readonly number[];
  readonly onProgress: (text: string) => void;
}

export interface Scenario {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  /** Whether peers take part; else it compares Reachflow with itself. */
  readonly peers: boolean;
  /** Stores that it writes to, beside broker and registry. */
  readonly stores?: readonly StoreName[];
  readonly defaults: {
    readonly records: number;
    readonly warmUp: number;
    /** 3 when it does not say. */
    readonly runs?: number;
  };
  /** @param contestants Reachflow first. */
  run(
    environment: Environment,
    contestants: readonly Contestant[],
    options: ScenarioOptions,
  ): Promise<Omit<Report, 'scenario' | 'options'>>;
}

/** Calls `run` for each contestant in turn, so often: ABAB…, so that what disturbs the machine disturbs all. */
export async function alternate<T>(
  contestants: readonly Contestant[],
  options: Pick<ScenarioOptions, 'runs' | 'onProgress'>,
  run: (contestant: Contestant, run: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (let number = 1; number <= options.runs; number += 1) {
    for (const contestant of contestants) {
      options.onProgress(`run ${number} of ${options.runs}: ${contestant.name} …`);
      results.push(await run(contestant, number));
    }
  }
  return results;
}
