import type { KafkaClient } from './client.ts';
import { KafkaCluster } from './cluster.ts';

/** How long connections that nobody uses stay open, ms: for whoever reads one partition after the other. */
const LINGER_MS = 500;
/**
 * Sets of connections that producers share. A broker works on one request of a connection at a time, and with several
 * replicas most of that time is waiting; so hundreds of tasks need more than one, but not one each.
 */
const PRODUCER_LANES = 4;

interface Shared {
  readonly cluster: KafkaCluster;
  users: number;
  closing: NodeJS.Timeout | undefined;
}

const shared = new WeakMap<KafkaClient, Map<number, Shared>>();
let nextProducer = 0;

/** A use of a client's shared connections, to be ended by `release`. */
export interface ClusterLease {
  readonly cluster: KafkaCluster;
  /** Idempotent. The connections are closed a moment after the last user's. */
  release(): void;
}

/** The connections that readers and offset look-ups of a client share; connects when first used. */
export function leaseCluster(client: KafkaClient): ClusterLease {
  return lease(client, 0);
}

/** Connections for a producer: shared with every fourth one. */
export function leaseProducerCluster(client: KafkaClient): ClusterLease {
  nextProducer = (nextProducer + 1) % PRODUCER_LANES;
  return lease(client, nextProducer);
}

function lease(client: KafkaClient, lane: number): ClusterLease {
  const lanes = shared.get(client) ?? new Map<number, Shared>();
  shared.set(client, lanes);
  const current = lanes.get(lane) ?? {
    cluster: new KafkaCluster(client),
    users: 0,
    closing: undefined,
  };
  lanes.set(lane, current);
  current.users += 1;
  clearTimeout(current.closing);
  let released = false;
  return {
    cluster: current.cluster,
    release: () => {
      if (released) return;
      released = true;
      current.users -= 1;
      if (current.users > 0) return;
      current.closing = setTimeout(() => {
        lanes.delete(lane);
        void current.cluster.close();
      }, LINGER_MS);
    },
  };
}
