import type { Service, ServiceStatus } from '../runtime/service.ts';

/** What `reachflow status` and the health endpoints say of one connector. */
export type ConnectorStatus = ServiceStatus;

/** A source of records: it turns something outside into records of a topic. Its name is that of the registry. */
export interface Connector extends Service {
  /** The logical topics it fills. */
  readonly topics: readonly string[];
  /** Whether it takes input while no broker answers: then it is started before its topics are known to be there. */
  readonly spools?: boolean;
}
