import type { Logger } from 'pino';

/** What every sink gets besides its section of the configuration. */
export interface SinkDeps {
  readonly logger: Logger;
}
