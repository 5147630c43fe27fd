import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { Logger } from 'pino';
import { errorMessage } from '../errors.ts';

/** A collector that is away is told of this often, ms. */
const SAY_AGAIN_MS = 60_000;

/** An exporter whose failures are in our log: OpenTelemetry's own would be nowhere. Spans that fail are lost. */
export function loggedExporter(exporter: SpanExporter, logger: Logger): SpanExporter {
  let lost = 0;
  let saidAt = Number.NEGATIVE_INFINITY;
  return {
    export(spans, onResult) {
      exporter.export(spans, (result) => {
        if (result.error !== undefined || result.code !== 0) {
          lost += spans.length;
          const now = performance.now();
          if (now - saidAt >= SAY_AGAIN_MS) {
            saidAt = now;
            logger.warn({ lost, error: errorMessage(result.error) }, 'traces cannot be sent');
          }
        }
        onResult(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
