import type { Logger } from 'pino';
import type { OptionalPart } from '../schemas/topics.ts';

/** What every sink gets besides its section of the configuration. */
export interface SinkDeps {
  readonly logger: Logger;
  /** The optional pipelines that run: their topics are written too. None when absent. */
  readonly parts?: readonly OptionalPart[];
}
