import type { RunningStack, StackOptions } from '../compose/types.ts';
import type { SendRaw } from './input/poison.ts';
import type { KafkaStats } from './kafka-stats.ts';
import type { TopicReaderDeps } from './readers/source-topics.ts';

/** How to play. */
export interface DemoOptions {
  /** End after the input, with the verdict; otherwise stay up until interrupted. */
  readonly once: boolean;
  /** How long the input lasts, s; undefined: until interrupted. */
  readonly seconds: number | undefined;
  /** Webhooks and row changes together, per second. */
  readonly rate: number;
  /** Makes the same input again. */
  readonly seed: number;
  /** Stop the stack at the end only when false and this run started it. */
  readonly keepStack: boolean;
  /** Where to find or start the engines. */
  readonly stack: Omit<StackOptions, 'onProgress' | 'signal'>;
}

/** The demo's own access to Kafka, beside the product's. */
export interface DemoKafka extends TopicReaderDeps {
  readonly stats: KafkaStats;
  readonly sendRaw: SendRaw;
  close(): Promise<void>;
}

/** A page to look at what the demo does. */
export interface DemoConsole {
  readonly url: string;
  stop(): Promise<void>;
}

/** What the demo is given by the command. */
export interface DemoDeps {
  readonly stdout: NodeJS.WriteStream;
  /** The CLI's entry file, to start `reachflow run` with. */
  readonly cliPath: string;
  /** Starts or finds the engines, and shows how far it is. */
  readonly upStack: (options: Omit<StackOptions, 'onProgress'>) => Promise<RunningStack>;
  readonly downStack: (dir: string) => Promise<unknown>;
  /** @param env what the product gets too: the same settings lead to the same topics. */
  readonly openKafka: (env: Readonly<Record<string, string>>) => Promise<DemoKafka>;
  /** Serves the console. @param env as `openKafka`. */
  readonly serveConsole: (env: Readonly<Record<string, string>>) => Promise<DemoConsole>;
  /** Aborted by the first Ctrl-C: the input ends, then it is verified as always. */
  readonly interrupted: AbortSignal;
}

/** Where the product's log goes. */
export function productLogFile(dir: string): string {
  return `${dir}/demo/product.log`;
}
