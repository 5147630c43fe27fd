/** What `reachflow status` and the health endpoints say of one connector. */
export interface ConnectorStatus {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'degraded' | 'failed' | 'stopped';
  /** One line for people: where it listens, which task failed and why. */
  readonly detail: string;
}

/** A source of records: it turns something outside into records of a topic. */
export interface Connector {
  /** Registry name, unique. */
  readonly name: string;
  /** The logical topics it fills. */
  readonly topics: readonly string[];
  /** Whether it takes input while no broker answers: then it is started before its topics are known to be there. */
  readonly spools?: boolean;
  /** Begin to produce. Resolves once it accepts input. @throws ReachflowError naming what to fix. */
  start(): Promise<void>;
  /** Accept nothing more, finish what was accepted, release everything. Idempotent. */
  stop(): Promise<void>;
  status(): Promise<ConnectorStatus>;
}
