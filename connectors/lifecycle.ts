import { type ServiceWork, serviceOf } from '../runtime/service.ts';
import type { Connector } from './connector.ts';

/** A connector around what it does between a start and a stop: `open` is called for each start. */
export function connectorOf(
  name: string,
  topics: readonly string[],
  open: () => Promise<ServiceWork>,
): Connector {
  return { ...serviceOf(name, open), topics };
}
