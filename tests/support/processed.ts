import { groupLag } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { groupOf, inputsOf, type Topology } from '../../runtime/topology/graph.ts';
import { eventually } from './kafka.ts';

/** Several looks in a row: what a first sub-topology committed last may not be in the ends that one look compares. */
const LOOKS = 3;

/** Resolves once a pipeline has read all its topics to their ends, repartition topics included. */
export async function untilProcessed(
  client: KafkaClient,
  { name, subTopologies }: Topology,
  timeoutMs = 120_000,
): Promise<void> {
  const sources = subTopologies.flatMap((sub) =>
    inputsOf(name, sub).map(({ topic }) => ({ group: groupOf(name, sub.name), topic })),
  );
  let settled = 0;
  await eventually(
    'all processed',
    async () => {
      const lags = await Promise.all(
        sources.map(({ group, topic }) => groupLag(client, group, topic)),
      );
      settled = lags.every((lag) => lag === 0) ? settled + 1 : 0;
      return settled === LOOKS;
    },
    timeoutMs,
  );
}
