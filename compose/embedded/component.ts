import type { StackEndpoints } from '../endpoints.ts';
import type { ComponentName } from '../types.ts';
import type { StackLayout } from './layout.ts';
import type { Ports } from './ports.ts';
import type { UnitName } from './provision/unit.ts';
import type { Jdk } from './toolchain.ts';

/** What a component may know when it prepares and starts. */
export interface StartContext {
  readonly layout: StackLayout;
  readonly ports: Ports;
  readonly endpoints: StackEndpoints;
  /** Kafka's cluster id of this data directory. */
  readonly clusterId: string;
  readonly cacheDir: string;
  /** @throws Error when no component of this start runs on the JVM. */
  jdk(): Jdk;
  home(unit: UnitName): string;
  readonly signal?: AbortSignal | undefined;
}

/** How to start a component's process. */
export interface LaunchCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Run as this user instead of ours. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Standard input: nothing, or a pipe that never ends. */
  readonly stdin?: 'none' | 'never-ending';
}

/** One embedded engine: what it needs, how it starts, how it stops. Starting is idempotent step by step. */
export interface EmbeddedComponent {
  readonly name: ComponentName;
  readonly version: string;
  readonly jvm: boolean;
  readonly units: readonly UnitName[];
  /** Components without which it cannot become healthy; they may start at the same time. */
  readonly needs: readonly ComponentName[];
  /** Asks it to end cleanly; SIGKILL follows after the bound. */
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  /** Write configuration, create the data directory. Called before each launch. */
  prepare(context: StartContext): Promise<void>;
  command(context: StartContext): Promise<LaunchCommand>;
  /** Is it up before its set-up has run? `checkHealth` on its endpoint when absent. Throws while it is not. */
  ready?(context: StartContext): Promise<void>;
  /** Called once it is healthy, and again when a launcher died before this had finished. */
  setUp?(context: StartContext): Promise<void>;
}
