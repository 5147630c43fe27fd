import type { Connector, ConnectorStatus } from '../connector.ts';
import { Capture, type CaptureDeps } from './capture.ts';
import { NAME } from './capture-state.ts';
import { capturesOf, type DebeziumConfig } from './config.ts';
import { capturedTopics } from './names.ts';

/**
 * Change data capture of every configured database. The work is done by Kafka Connect, which outlives this process:
 * a stop leaves the captures running there (`debezium.onStop: leave`) or stops them (`stop`); the next start goes on
 * where they were.
 */
export interface DebeziumConnector extends Connector {
  /**
   * Ends the captures for good: deletes the connectors with their offsets, then replication slots and publications.
   * The next start takes new snapshots. Topics stay. Idempotent.
   */
  remove(): Promise<void>;
}

/** The captures of a configuration. @throws ReachflowError for one that cannot work (see `debeziumConnectorConfig`). */
export function createCaptures(config: DebeziumConfig, deps: CaptureDeps): Capture[] {
  return capturesOf(config).map((named) => new Capture(named, deps));
}

/** Worst first: what all of them together are. */
const STATES = [
  'failed',
  'stopped',
  'degraded',
  'starting',
  'running',
] as const satisfies readonly ConnectorStatus['state'][];

/** @throws ReachflowError for a configuration that cannot work (see `debeziumConnectorConfig`). */
export function createDebeziumConnector(
  config: DebeziumConfig,
  deps: CaptureDeps,
): DebeziumConnector {
  const captures = createCaptures(config, deps);
  return {
    name: NAME,
    topics: [...new Set(captures.flatMap((capture) => capturedTopics(capture.config)))],
    async start() {
      for (const capture of captures) await capture.start();
    },
    async stop() {
      await Promise.all(captures.map((capture) => capture.stop()));
    },
    async status() {
      const all = await Promise.all(captures.map((capture) => capture.status()));
      const state = STATES.find((one) => all.some((status) => status.state === one)) ?? 'running';
      return { name: NAME, state, detail: all.map(({ detail }) => detail).join('; ') };
    },
    async remove() {
      for (const capture of captures) await capture.remove();
    },
  };
}
