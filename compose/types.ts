import type { EngineAccess, StackEndpoints } from './endpoints.ts';

/** The engines of a stack, in the order in which people read them; also the keys of `StackEndpoints`. */
export const componentNames = [
  'kafka',
  'registry',
  'connect',
  'postgres',
  'clickhouse',
  'elasticsearch',
] as const satisfies readonly (keyof StackEndpoints)[];

export type ComponentName = (typeof componentNames)[number];

/** Is this the name of an engine of the stack? */
export function isComponentName(name: string): name is ComponentName {
  return (componentNames as readonly string[]).includes(name);
}

/** `embedded`: real engines without Docker. `docker`: `docker-compose.yml`. `external`: your own. */
export const stackEngines = ['embedded', 'docker', 'external'] as const;
export type StackEngine = (typeof stackEngines)[number];

/** One step that a caller may show. A phase of a component ends with `done`, `cached` or `failed`. */
export interface StackEvent {
  /** `stack` for what concerns all of them, such as waiting for another process. */
  readonly component: ComponentName | 'stack';
  readonly phase: 'provision' | 'start' | 'stop' | 'wait';
  readonly status: 'working' | 'done' | 'cached' | 'failed';
  /** For people: what is being downloaded and how far, what is awaited. */
  readonly message: string;
  /** Since this phase of this component began, ms. */
  readonly elapsedMs: number;
}

export interface StackOptions {
  readonly engine: StackEngine;
  /** State, data, configuration and logs of this stack. */
  readonly dir: string;
  /** Provisioned engines, shared by all stacks of a user. */
  readonly cacheDir: string;
  /** Only these, and those they need; all when absent. Embedded and external only. */
  readonly components?: readonly ComponentName[];
  /** Required for `external`: where your engines listen. */
  readonly endpoints?: StackEndpoints;
  /** `external`: how to get into them; anyone may when absent. */
  readonly access?: EngineAccess;
  readonly onProgress: (event: StackEvent) => void;
  /** Aborting stops what this call started and rejects with `STACK_ABORTED`. */
  readonly signal?: AbortSignal;
}

export interface ComponentStatus {
  readonly name: ComponentName;
  readonly version: string;
  readonly endpoint: string;
  /** `stopped`: not started, or died. `unhealthy`: the process lives but does not answer. */
  readonly state: 'running' | 'unhealthy' | 'stopped';
  readonly pid: number | undefined;
  /** Memory of the process and its children, bytes. Undefined when not ours to see. */
  readonly rssBytes: number | undefined;
  /** From spawn to healthy, ms. */
  readonly startedInMs: number | undefined;
}

export interface StackStatus {
  readonly engine: StackEngine;
  readonly endpoints: StackEndpoints;
  readonly components: readonly ComponentStatus[];
}

export interface RunningStack extends StackStatus {
  /** Did this call start anything? False when everything was up already. */
  readonly started: boolean;
}

/** The endpoint of one component as people write it. */
export function endpointText(name: ComponentName, endpoints: StackEndpoints): string {
  return name === 'kafka' ? endpoints.kafka.brokers.join(',') : endpoints[name].url;
}
