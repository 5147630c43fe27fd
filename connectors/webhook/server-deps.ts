import type { Logger } from 'pino';
import type { ProblemError } from '../../runtime/http/problem.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { Tracing } from '../../runtime/observability/tracing.ts';
import type { WebhookConfig } from './config.ts';
import type { Throttles } from './throttles.ts';

/** What the HTTP server is built with. */
export interface WebhookServerDeps {
  readonly config: WebhookConfig;
  /** Tenants that may send less for now; none by default. */
  readonly throttles?: Throttles | undefined;
  /** The active secrets of a source. */
  readonly secrets: (source: string) => readonly string[];
  readonly publisher: Publisher;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** ms since the epoch. */
  readonly clock: () => number;
  /** True from the moment a stop begins: what is not accepted yet is refused. */
  readonly isStopping: () => boolean;
  /** Why it is not ready, in one line; undefined when it is. */
  readonly unready: () => string | undefined;
  /** Called with the outcome of every publication; undefined is success. */
  readonly onPublished: (error: ProblemError | undefined) => void;
}
