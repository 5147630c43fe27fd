import type { RunningStack, StackOptions } from '../compose/types.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { FaultGroup } from './schedule.ts';

/** How hard to try. */
export interface ProveOptions {
  /** Of load and faults, ms. */
  readonly durationMs: number;
  /** Chooses input and faults: the same seed makes the same plan. */
  readonly seed: number;
  readonly workers: number;
  /** Webhooks per second. */
  readonly webhooks: number;
  /** Ledger transactions per second; each changes four rows. */
  readonly transactions: number;
  readonly accounts: number;
  /** Where the run's own engines are. */
  readonly dir: string;
  readonly keepStack: boolean;
  readonly faults: readonly FaultGroup[];
}

/** The run's own access to Kafka, beside the workers'. */
export interface ProveKafka {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  close(): Promise<void>;
}

/** What the run is given by the command. */
export interface ProveDeps {
  readonly stdout: NodeJS.WriteStream;
  /** The CLI's entry file, to start `reachflow run` with. */
  readonly cliPath: string;
  readonly upStack: (options: Pick<StackOptions, 'dir' | 'signal'>) => Promise<RunningStack>;
  readonly downStack: (dir: string) => Promise<unknown>;
  readonly resetStack: (dir: string) => Promise<unknown>;
  /** @param env what the workers get, too. */
  readonly openKafka: (env: Readonly<Record<string, string>>) => Promise<ProveKafka>;
  /** Aborted by the first Ctrl-C: load and faults end, then it is counted as always. */
  readonly interrupted: AbortSignal;
}
